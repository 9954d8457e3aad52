/** `mailroute queue`: looks at a relay's queue and changes it, over its local socket or, with a token, over HTTP. */
import { parseArgs } from "node:util";
import { socketPathOf } from "../relay/control/socket.ts";
import { type CarriedOut, type Listed, orderNames as orders } from "../relay/queue/orders.ts";
import { readConfig } from "./configuration.ts";
import { type Command, fail, print, UsageError } from "./console.ts";
import { messageLines } from "./queue-lines.ts";
import { askRelay, type RelayDoor } from "./relay-door.ts";

/** Where the image's configuration is. */
const configDefault = "/etc/mailroute/relay.yaml";

const options = {
  sender: { type: "string" },
  recipient: { type: "string" },
  domain: { type: "string" },
  route: { type: "string" },
  "older-than": { type: "string" },
  held: { type: "boolean" },
  all: { type: "boolean" },
  limit: { type: "string" },
  after: { type: "string" },
  why: { type: "string" },
  "dry-run": { type: "boolean" },
  header: { type: "boolean" },
  json: { type: "boolean" },
  config: { type: "string", default: configDefault },
  socket: { type: "string" },
  url: { type: "string" },
  "token-file": { type: "string" },
} as const;

/** Options that say where the relay is or how its answer is shown. */
const ours: ReadonlySet<string> = new Set(["json", "config", "socket", "url", "token-file"]);

export const queueCommand: Command = {
  name: "queue",
  summary: "look at a relay's queue: list, show, hold, release, retry, remove, bounce, reroute",
  help: `mailroute queue list [FILTER ...] [--limit N] [--after ID] [--json]
mailroute queue show ID [--header] [--json]
mailroute queue hold|release|retry|remove|bounce|reroute ID ... | FILTER ... | --all

  hold      nobody tries it, and it does not expire, until it is released
  release   the opposite, also for what the relay has held itself
  retry     try at once
  remove    take it out of the queue, and tell nobody but the log
  bounce    take it out, and tell its sender that it failed; --why TEXT says why
  reroute   let the routes of now decide, as for mail that comes now: for recipients whose
            route was withdrawn, and that wait rather than go a way which nobody named

Which messages (all filters must fit; those of recipients reach only the recipients that fit,
but for hold and release, which are for the whole message):
  --sender ADDRESS       the envelope sender; "<>" for reports
  --recipient ADDRESS    a recipient that is not finished
  --domain DOMAIN        a recipient of exactly this domain
  --route NAMESPACE/NAME a recipient that goes by this MailRoute now; "outbound" for none
  --older-than TIME      arrived that long ago: 90s, 15m, 2h, 3d
  --held                 held ones
  --all                  every message: an order without id and filter must say so
  --dry-run              only count them
  --why TEXT             the reason: in the log and, at a bounce, for the sender
  --limit N              at most N in a list (100)
  --after ID             a list that begins behind this message
  --header               show the message's header section, too
  --json                 one JSON object a line

Which relay:
  --config FILE          the relay's configuration, for its socket (${configDefault})
  --socket PATH          its socket: control.sock in its spool.directory
  --url URL --token-file FILE   over HTTP, with the token of its admin.queueTokenFile

In a cluster: kubectl exec -n mail mailroute-relay-0 -- node /app/cli/main.ts queue list
Each relay has a queue of its own.`,
  async run(args) {
    const { values, positionals } = parseArgs({ args, allowPositionals: true, options });
    const [word, ...ids] = positionals;
    const query = new URLSearchParams(ids.map((id) => ["id", id]));
    for (const [name, value] of Object.entries(values)) {
      if (!ours.has(name)) query.set(name, value === true ? "" : String(value));
    }
    if (word === undefined || !["list", "show", ...orders].includes(word))
      throw new UsageError(`queue needs one of list, show, ${orders.join(", ")}`);
    const door = await doorOf(values);
    if (word === "list") return await list(door, query, values.json === true);
    if (word === "show") return await show(door, { ids, query, isJson: values.json === true });
    return await order(door, { word, query, isJson: values.json === true });
  },
};

async function doorOf(values: {
  readonly config: string;
  readonly socket?: string;
  readonly url?: string;
  readonly "token-file"?: string;
}): Promise<RelayDoor> {
  const { url, socket, config } = values;
  const tokenFile = values["token-file"];
  if (url !== undefined) {
    if (tokenFile === undefined) throw new UsageError("--url needs --token-file FILE");
    return { kind: "http", url, tokenFile };
  }
  if (socket !== undefined) return { kind: "socket", path: socket };
  const parsed = await readConfig(config);
  if (!parsed.ok) throw new UsageError(`${config}: ${parsed.complaints.join("; ")}`);
  return { kind: "socket", path: socketPathOf(parsed.config.spool.directory) };
}

async function list(door: RelayDoor, query: URLSearchParams, isJson: boolean): Promise<number> {
  let count = 0;
  let last = "";
  const problem = await askRelay(door, { path: `/queue?${query}` }, (line) => {
    const message = JSON.parse(line) as Listed;
    count += 1;
    last = message.id;
    if (isJson) print(line);
    else for (const each of messageLines(message, Date.now())) print(each);
  });
  if (problem !== undefined) return fail([problem]);
  if (isJson) return 0;
  if (count === 0) print("no messages");
  if (count === Number(query.get("limit") ?? 100)) print(`more may follow: --after ${last}`);
  return 0;
}

/** A header section that came by mail must not speak to the terminal. */
function visible(text: string): string {
  const shown = (each: string): string =>
    each === "\r" ? "" : `\\x${each.charCodeAt(0).toString(16).padStart(2, "0")}`;
  return text.replace(/(?![\n\t])\p{Cc}/gu, shown);
}

type Asking = { readonly query: URLSearchParams; readonly isJson: boolean };

async function show(
  door: RelayDoor,
  { ids, query, isJson }: Asking & { readonly ids: readonly string[] },
): Promise<number> {
  const [id, ...more] = ids;
  if (id === undefined || more.length > 0) throw new UsageError("queue show takes one id");
  const suffix = query.has("header") ? "?header" : "";
  const path = `/queue/${encodeURIComponent(id)}${suffix}`;
  const problem = await askRelay(door, { path }, (line) => {
    if (isJson) {
      print(line);
      return;
    }
    const { header, ...message } = JSON.parse(line) as Listed & { readonly header?: string };
    for (const each of messageLines(message, Date.now())) print(each);
    if (header !== undefined) print(`\n${visible(header.trimEnd())}`);
  });
  return problem === undefined ? 0 : fail([problem]);
}

async function order(
  door: RelayDoor,
  { word, query, isJson }: Asking & { readonly word: string },
): Promise<number> {
  const request = { path: `/queue/${word}?${query}`, method: "POST" };
  const problem = await askRelay(door, request, (line) => {
    if (isJson) print(line);
    else print(summary(word, JSON.parse(line) as CarriedOut, query.has("dry-run")));
  });
  return problem === undefined ? 0 : fail([problem]);
}

function summary(
  word: string,
  { messages, recipients, waiting }: CarriedOut,
  isDry: boolean,
): string {
  const whole = `${messages} ${messages === 1 ? "message" : "messages"}, ${recipients} ${recipients === 1 ? "recipient" : "recipients"}`;
  const later =
    waiting === 0 ? "" : `; ${waiting} being delivered now: it counts when that has ended`;
  return isDry ? `${word} would reach ${whole}` : `${word}: ${whole}${later}`;
}
