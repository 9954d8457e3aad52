/**
 * The next hops of acceptance tests: sinks by name, one book of what arrived where, and what the relay
 * says about its queue, so that a test can wait for all of its mail to be settled.
 */
import { eventually, type RelayProcess } from "../ledger/relay-process.ts";
import { type Sink, type SinkOptions, startSink } from "../ledger/sink.ts";

export type Arrival = {
  readonly host: string;
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly text: string;
  /** The same, octet by octet. */
  readonly body: Buffer;
};

export type Hosts = {
  readonly arrivals: readonly Arrival[];
  sink(name: string): Sink;
  /** As the `hosts` of a target. */
  target(...names: readonly string[]): { host: string; port: number }[];
  at(name: string): readonly Arrival[];
  /** Where a message with this subject arrived, each once, in order of name. */
  subject(subject: string): readonly Arrival[];
  clear(): void;
  close(): Promise<void>;
};

export type HostOptions = Omit<SinkOptions, "received">;

export async function startHosts(
  names: readonly string[],
  options: Readonly<Record<string, HostOptions>> = {},
): Promise<Hosts> {
  const arrivals: Arrival[] = [];
  const sinks = new Map<string, Sink>();
  for (const name of names) {
    const received: SinkOptions["received"] = ({ sender, recipients, body }) => {
      arrivals.push({ host: name, sender, recipients, text: body.toString("utf8"), body });
    };
    sinks.set(name, await startSink({ ...options[name], received }));
  }
  const sink = (name: string): Sink => {
    const found = sinks.get(name);
    if (found === undefined) throw new Error(`there is no host ${name}`);
    return found;
  };
  return {
    arrivals,
    sink,
    target: (...wanted) => wanted.map((name) => ({ host: "127.0.0.1", port: sink(name).port })),
    at: (name) => arrivals.filter(({ host }) => host === name),
    subject: (subject) =>
      arrivals.filter(({ text }) => text.includes(`\r\nSubject: ${subject}\r\n`)),
    clear: () => void arrivals.splice(0),
    async close() {
      for (const each of sinks.values()) await each.close();
    },
  };
}

/** What the relay's admin server answers. */
export async function admin(
  relay: RelayProcess,
  path: string,
): Promise<{ readonly status: number; readonly body: string }> {
  const response = await fetch(`http://127.0.0.1:${relay.adminPort()}${path}`);
  return { status: response.status, body: await response.text() };
}

/** The value of a metric; `series` with its labels as Prometheus writes them. 0 where it is not there. */
export async function metric(relay: RelayProcess, series: string): Promise<number> {
  const { body } = await admin(relay, "/metrics");
  const line = body.split("\n").find((each) => each.startsWith(`${series} `));
  return line === undefined ? 0 : Number(line.slice(series.length + 1));
}

/** Waits until nothing is queued: every recipient, of reports too, has arrived or failed. */
export async function drained(relay: RelayProcess, msMax = 10_000): Promise<void> {
  const empty = async (): Promise<boolean> =>
    (await metric(relay, "mailroute_queue_messages")) === 0;
  await eventually(empty, { msMax, what: "the queue is empty" });
}

/** Lines of the log, of one event, with these fields. */
export function logged(
  relay: RelayProcess,
  event: string,
  fields: Readonly<Record<string, unknown>> = {},
): readonly Record<string, unknown>[] {
  return relay
    .log()
    .filter(
      (line) =>
        line["event"] === event &&
        Object.entries(fields).every(([name, value]) => line[name] === value),
    );
}

/** Waits for the first of them. */
export async function untilLogged(
  relay: RelayProcess,
  event: string,
  fields: Readonly<Record<string, unknown>> = {},
): Promise<Record<string, unknown>> {
  const what = `${event} ${JSON.stringify(fields)} is logged`;
  await eventually(() => logged(relay, event, fields).length > 0, { msMax: 10_000, what });
  return logged(relay, event, fields)[0] ?? {};
}
