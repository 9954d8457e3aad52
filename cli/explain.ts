/** `mailroute explain`: which resource and key decide an address, what lost and why, what would happen. */
import { parseArgs } from "node:util";
import { type Admission, admit } from "../relay/policy/admit.ts";
import { formatAddress, parseAddress } from "../routing/address.ts";
import { explain, match, type Step } from "../routing/match.ts";
import { hostPort } from "../routing/parse-route.ts";
import type { Route } from "../routing/route.ts";
import type { RouteTable } from "../routing/table.ts";
import { readConfig } from "./configuration.ts";
import { type Command, print, UsageError } from "./console.ts";
import { examplesDirectory } from "./examples.ts";
import { readRepository } from "./repository.ts";

export const explainCommand: Command = {
  name: "explain",
  summary: "say which MailRoute decides an address, and why",
  help: `mailroute explain ADDRESS [--from SENDER] [--dir DIR | --config FILE]

Shows every key that could decide ADDRESS, the most specific first, which one does, and
what the relay would do with the mail, for trusted clients and for strangers.

  --from SENDER      the envelope sender; without it, the null sender <>
  --dir DIR          the MailRoute files (the examples)
  --config FILE      take directory, namespace and class from a relay's configuration
  --namespace NAME   the installation's own namespace (mail)
  --class NAME       the installation's class (default)`,
  async run(args) {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        from: { type: "string", default: "" },
        dir: { type: "string" },
        config: { type: "string" },
        namespace: { type: "string", default: "mail" },
        class: { type: "string", default: "default" },
      },
    });
    const [address, ...more] = positionals;
    if (address === undefined || more.length > 0) throw new UsageError("explain takes one address");
    const where = values.config === undefined ? undefined : await placeOf(values.config);
    const { namespace, className } = where ?? {
      namespace: values.namespace,
      className: values.class,
    };
    const directory = where?.directory ?? values.dir ?? examplesDirectory;
    const { compiled } = await readRepository(directory, {
      namespace,
      className,
      delegation: "off",
    });
    const lines = explanation({ table: compiled.table, address, from: values.from });
    for (const line of lines) print(line);
    return 0;
  },
};

async function placeOf(
  file: string,
): Promise<{ directory: string; namespace: string; className: string }> {
  const parsed = await readConfig(file);
  if (!parsed.ok) throw new UsageError(`${file}: ${parsed.complaints.join("; ")}`);
  const { routes, namespace, className } = parsed.config;
  if (routes.directory === undefined) {
    throw new UsageError(`${file} takes its routes from a cluster: give --dir DIR`);
  }
  return { directory: routes.directory, namespace, className };
}

type Question = { readonly table: RouteTable; readonly address: string; readonly from: string };

/** The explanation as lines of text. Throws UsageError for what is no address. */
export function explanation({ table, address, from }: Question): string[] {
  const recipient = parseAddress(address, { utf8: true });
  if (recipient === undefined)
    throw new UsageError(`${address} is not a mail address: the relay answers 501 5.1.3`);
  const sender = from === "" ? undefined : parseAddress(from, { utf8: true });
  if (from !== "" && sender === undefined)
    throw new UsageError(`--from ${from} is not a mail address: the relay answers 501 5.1.7`);
  const steps = explain(table, { recipient, sender });
  const found = match(table, { recipient, sender });
  const path = formatAddress(recipient);
  const applicant = { table, stale: false, sender, path, utf8: true, postmaster: "" };
  return [
    `${path} from <${sender === undefined ? "" : formatAddress(sender)}>`,
    "",
    ...ladder(steps),
    "",
    found.kind === "route"
      ? `${found.route.id} decides by ${found.key}: ${deed(found.route)}`
      : noRoute(found.kind),
    `from a trusted client: ${shown(admit({ ...applicant, trusted: true }))}`,
    `from a stranger:       ${shown(admit({ ...applicant, trusted: false }))}`,
  ];
}

function shown(admission: Admission): string {
  if (admission.ok) return "taken";
  const { code, status, text } = admission.reply;
  return `refused, ${code} ${status} ${text}`;
}

function ladder(steps: readonly Step[]): string[] {
  const width = Math.max(...steps.map((step) => keysOf(step).length), 10);
  return steps.map(
    (step) =>
      `  ${keysOf(step).padEnd(width)}  ${step.outcome}${step.route === undefined ? "" : `  ${step.route.id}`}`,
  );
}

function keysOf({ key, senderKey }: Step): string {
  return senderKey === undefined ? key : `${key} from ${senderKey}`;
}

function noRoute(kind: "outbound" | "unlisted-literal"): string {
  return kind === "outbound"
    ? "no route decides: by MX of the recipient's domain, for trusted clients only"
    : "no route names this address literal: it goes nowhere";
}

function deed(route: Route): string {
  const { target, protocol, tls } = route;
  if (route.unavailable !== undefined)
    return `deferred, the route cannot be used now: ${route.unavailable}`;
  if (target.kind === "reject")
    return `refused with ${target.code} ${target.status} ${target.message}`;
  if (target.kind === "discard") return "taken and thrown away";
  if (target.kind === "inbound") return `to the installation's mail store by ${protocol}`;
  if (target.kind === "mx")
    return `by MX of ${target.domain ?? "the recipient's domain"}, TLS ${tls.mode}`;
  const hosts = target.hosts.toSorted((a, b) => a.priority - b.priority);
  const list = hosts.map(
    ({ host, port, priority, weight }) =>
      `${hostPort({ host, port })} (priority ${priority}, weight ${weight})`,
  );
  return `by ${protocol} to ${list.join(", then ")}, TLS ${tls.mode}${route.auth === undefined ? "" : ", with a login"}`;
}
