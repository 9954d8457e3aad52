/**
 * A ledger run: one relay process, next hops that record, a generator, and whatever is done to them
 * meanwhile; then the books are reckoned. A host of the ledger is a sink; a rule says which one a domain's
 * mail goes to from now on.
 */
import { crc32 } from "node:zlib";
import { type Generator, type GeneratorOptions, startGenerator } from "./generator.ts";
import { type Arrival, type Reckoning, type Rule, reckon } from "./reckoning.ts";
import {
  hostsRoute,
  type ProcessOptions,
  type RelayProcess,
  relayProcess,
} from "./relay-process.ts";
import { type Sink, startSink } from "./sink.ts";

export type Ledger = {
  readonly relay: RelayProcess;
  readonly sinks: ReadonlyMap<string, Sink>;
  readonly arrivals: readonly Arrival[];
  /** Numbers whose body is not the one that was sent. */
  readonly damaged: readonly number[];
  /** From now on the domain's mail goes to that sink; undefined withdraws the route. */
  rule(domain: string, host: string | undefined): void;
  generate(options: Omit<GeneratorOptions, "port">): Generator;
  /** Waits until everything answered has arrived, or nothing more does, then reckons. */
  settle(generator: Generator, msMax: number): Promise<Reckoning>;
  close(): Promise<void>;
};

export type LedgerOptions = {
  readonly hosts: readonly string[];
  readonly relay?: ProcessOptions;
  /** As the `retry` of each route; short, so that deferred mail comes within the run. */
  readonly retry?: object;
  /** True: the sink takes the message and closes without an answer. */
  readonly drops?: (arrival: Arrival) => boolean;
  /** A sink's reply to a recipient in place of 250. */
  readonly refuse?: (recipient: string) => string | undefined;
};

/** Longer than any wait between two attempts. */
const standstillMs = 20_000;

/** How long a change of the rules may take to reach the relay. */
const slackMs = 2000;
const crcLine = /^X-Crc: (\d+)\r$/m;
const numberLine = /^X-Ledger: (\d+)\r$/m;
const retryFast = { initial: "1s", max: "2s" };

export async function openLedger(options: LedgerOptions): Promise<Ledger> {
  const arrivals: Arrival[] = [];
  const rules: Rule[] = [];
  const damaged: number[] = [];
  const sinks = new Map<string, Sink>();
  const { refuse } = options;
  for (const host of options.hosts) {
    const received = ({ body, atMs }: { body: Buffer; atMs: number }): "drop" | undefined => {
      const head = body.toString("latin1", 0, 2000);
      const arrival = { number: Number(numberLine.exec(head)?.[1] ?? -1), host, atMs };
      arrivals.push(arrival);
      const crc = crcLine.exec(head)?.[1];
      if (crc !== undefined && crc32(body.subarray(body.indexOf("\r\n\r\n") + 4)) !== Number(crc))
        damaged.push(arrival.number);
      return options.drops?.(arrival) === true ? "drop" : undefined;
    };
    sinks.set(host, await startSink({ received, ...(refuse !== undefined && { refuse }) }));
  }
  const relay = relayProcess(options.relay);
  const retry = options.retry ?? retryFast;
  return {
    relay,
    sinks,
    arrivals,
    damaged,
    rule(domain, host) {
      const port = host === undefined ? undefined : sinks.get(host)?.port;
      rules.push({ domain, host, fromMs: Date.now() });
      const name = domain.replaceAll(".", "-");
      const hosts = port === undefined ? [] : [{ host: "127.0.0.1", port }];
      relay.routes(
        `${name}.yaml`,
        port === undefined
          ? undefined
          : [hostsRoute(name, { suffixes: [domain] }, hosts, { retry })],
      );
    },
    generate: (rest) => startGenerator({ ...rest, port: () => relay.port() }),
    async settle(generator, msMax) {
      await generator.stop();
      const { entries } = generator;
      const books = () => reckon({ entries, arrivals, rules, slackMs });
      // A loaded machine delivers later than it accepts: it has time for as long as mail arrives.
      const endMs = Date.now() + msMax;
      let seen = -1;
      let sinceMs = Date.now();
      while (Date.now() < endMs && Date.now() - sinceMs < standstillMs) {
        if (arrivals.length !== seen) sinceMs = Date.now();
        else if (books().missing === 0) break;
        seen = arrivals.length;
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
      return books();
    },
    async close() {
      await relay.close();
      for (const sink of sinks.values()) await sink.close();
    },
  };
}
