/** `mailroute dev`: the relay on a directory of files, with a next hop of its own that keeps everything. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { errorText } from "../kube/error-text.ts";
import { type ConfigInput, checkConfig } from "../relay/config/config.ts";
import { createDelivery, type Delivery, type DeliveryOptions } from "../relay/delivery/delivery.ts";
import { startRelay } from "../relay/relay.ts";
import type { Route } from "../routing/route.ts";
import { type Command, fail, portOf, print, UsageError } from "./console.ts";
import { Journal } from "./dev/journal.ts";
import { type NextHop, startNextHop } from "./dev/next-hop.ts";
import { startPage } from "./dev/page.ts";
import { examplesDirectory } from "./examples.ts";
import { untilSignal } from "./signals.ts";
import { version } from "./version.ts";

export const devCommand: Command = {
  name: "dev",
  summary: "try a directory of MailRoutes: mail goes in, a page shows where it would go",
  help: `mailroute dev [DIR]

Runs the relay on the MailRoute files below DIR (the examples that come with Mailroute) and
reads them again whenever they change. Every next hop is played by the program itself: what
the relay sends anywhere is kept and shown on a page on localhost, with the way it took and
why. Nothing leaves this machine. TLS and logins of routes are left out.

  --port N        where mail is taken, on 127.0.0.1 (2525)
  --page-port N   where the page is (8025)
  --admin-port N  where /metrics, /readyz and /revision are (9090)
  --state DIR     where accepted mail is kept (.mailroute in this directory)
  --json          the relay's log as it is, instead of a line for each mail

Then, in another terminal:  npx mailroute send --to user@sales.ms.example`,
  async run(args) {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        port: { type: "string", default: "2525" },
        "page-port": { type: "string", default: "8025" },
        "admin-port": { type: "string", default: "9090" },
        state: { type: "string", default: ".mailroute" },
        json: { type: "boolean", default: false },
      },
    });
    const [directory = examplesDirectory, ...more] = positionals;
    if (more.length > 0) throw new UsageError("dev takes one directory");
    if (!existsSync(directory)) throw new UsageError(`there is no directory ${directory}`);
    const config: ConfigInput = {
      hostname: "relay.example",
      routes: { directory: resolve(directory) },
      spool: { directory: resolve(values.state, "spool"), limits: { freeBytesMin: 0 } },
      listeners: [{ name: "smtp", host: "127.0.0.1", port: portOf("--port", values.port) }],
      trustedNetworks: ["127.0.0.0/8", "::1/128"],
      inbound: { hosts: [{ host: "inbound.example", port: 24 }], protocol: "SMTP" },
      admin: { port: portOf("--admin-port", values["admin-port"]) },
      retry: { initialMs: 5000, maxMs: 60_000 },
    };
    return await runDev({
      config,
      directory: resolve(directory),
      pagePort: portOf("--page-port", values["page-port"]),
      json: values.json,
    });
  },
};

type Dev = {
  readonly config: ConfigInput;
  readonly directory: string;
  readonly pagePort: number;
  readonly json: boolean;
};

async function runDev(dev: Dev): Promise<number> {
  const parsed = checkConfig(dev.config);
  if (!parsed.ok) return fail(parsed.complaints);
  const journal = new Journal();
  await using closers = new AsyncDisposableStack();
  const write = (text: string): void => {
    for (const line of text.trimEnd().split("\n")) show(line, { journal, json: dev.json });
  };
  try {
    const nextHop = await startNextHop(parsed.config.limits, (body) => journal.keep(body));
    closers.defer(() => nextHop.close());
    const page = await startPage(journal, dev.pagePort);
    closers.defer(() => page.close());
    const delivery = (options: DeliveryOptions): Delivery => ledHome(options, nextHop);
    const { config } = parsed;
    const relay = await startRelay({ config, version, write, delegation: "off", delivery });
    closers.defer(() => relay.stop({ graceMs: 2000 }));
    const port = relay.addresses[0]?.port ?? 0;
    if (!dev.json) print(welcome({ directory: dev.directory, port, page: page.url }));
    await untilSignal();
    return 0;
  } catch (error) {
    return fail([explainStart(errorText(error))]);
  }
}

/** Every connection goes to the built-in next hop, which has neither certificates nor users. */
function ledHome(options: DeliveryOptions, nextHop: NextHop): Delivery {
  const delivery = createDelivery({ ...options, dial: nextHop.dial });
  return {
    ...delivery,
    close: (grace) => delivery.close(grace),
    deliver: (job, signal) => delivery.deliver({ ...job, route: plain(job.route) }, signal),
  };
}

function plain({ auth: _, ...route }: Route): Route {
  return { ...route, protocol: "SMTP", tls: { mode: "Disabled" } };
}

function show(
  line: string,
  { journal, json }: { readonly journal: Journal; readonly json: boolean },
): void {
  const event = JSON.parse(line) as Record<string, unknown>;
  const row = journal.take(event);
  if (json) {
    print(line);
    return;
  }
  if (row !== undefined) {
    const time = new Date(row.time).toLocaleTimeString();
    print(`${time}  ${row.event.padEnd(9)}  ${row.to} -> ${row.where}  (${row.why})`);
  }
  if (event["event"] === "problem")
    print(`to mend: ${String(event["where"])}: ${String(event["text"])}`);
  if (event["event"] === "mended") print(`mended: ${String(event["where"])}`);
  if (event["event"] === "table") print(`routes are in force: ${String(event["keys"])} keys`);
}

function welcome({
  directory,
  port,
  page,
}: {
  directory: string;
  port: number;
  page: string;
}): string {
  return `
Mailroute takes mail on 127.0.0.1:${port} and routes it by the files in
  ${directory}

  the page:            ${page}
  in another terminal: npm run send -- --to user@sales.ms.example

Edit a file there and send again: the next message goes where the file says. Ctrl-C stops.
`;
}

function explainStart(text: string): string {
  return text.includes("EADDRINUSE")
    ? `${text}: choose other ports with --port, --page-port and --admin-port`
    : text;
}
