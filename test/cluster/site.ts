/**
 * What the tests on a real API server without pods have: an operator, a relay that takes its table from there,
 * next hops that note what arrives, and mail.
 */
import { startGenerator } from "../ledger/generator.ts";
import { eventually, type RelayProcess, relayProcess } from "../ledger/relay-process.ts";
import { type Sink, startSink } from "../ledger/sink.ts";
import { freePort } from "../peers/ports.ts";
import type { ControlPlane } from "./control-plane.ts";
import { Cluster } from "./installation.ts";

/** On a loaded host a sync to disk alone may take seconds. */
const takenMsMax = 30_000;
const logLinesShown = 10;

export type Site = {
  readonly cluster: Cluster;
  readonly relay: RelayProcess;
  readonly sinks: ReadonlyMap<string, Sink>;
  readonly arrivals: readonly { readonly host: string; readonly recipients: readonly string[] }[];
  /** Where the operator finds the relay's /revision. */
  readonly adminPort: number;
  /** A MailRoute's spec: these suffixes to that sink. */
  specTo(host: string, ...suffixes: string[]): object;
  /** Resolves when the relay has answered 250. */
  send(to: string): Promise<void>;
  arrives(to: string, host: string): Promise<void>;
  close(): Promise<void>;
};

/** Nothing runs yet but the API server and two sinks, "one" and "two". */
export async function createSite(plane: ControlPlane): Promise<Site> {
  const cluster = new Cluster(plane);
  await cluster.prepare();
  const arrivals: { host: string; recipients: readonly string[] }[] = [];
  const sinks = new Map<string, Sink>();
  for (const host of ["one", "two"]) {
    const received = ({ recipients }: { recipients: readonly string[] }): undefined =>
      void arrivals.push({ host, recipients });
    sinks.set(host, await startSink({ received }));
  }
  const adminPort = await freePort();
  const relay = relayProcess({
    routes: { installation: { name: "mailroute", namespace: "mail" } },
    admin: { host: "127.0.0.1", port: adminPort },
    retry: { initialMs: 500, maxMs: 500 },
  });
  const send = async (to: string): Promise<void> => await sendThrough(relay, to);
  return {
    cluster,
    relay,
    sinks,
    arrivals,
    adminPort,
    send,
    specTo(host, ...suffixes) {
      const hosts = [{ host: "127.0.0.1", port: sinks.get(host)?.port }];
      const retry = { initial: "1s", max: "1s" };
      return { suffixes, target: { hosts }, tls: { mode: "Disabled" }, retry };
    },
    async arrives(to, host) {
      await send(to);
      const there = () =>
        arrivals.some((each) => each.host === host && each.recipients.includes(to));
      await eventually(there, { msMax: takenMsMax, what: `${to} at ${host}` });
    },
    async close() {
      await relay.close();
      await cluster.close();
      for (const sink of sinks.values()) await sink.close();
    },
  };
}

async function sendThrough(relay: RelayProcess, to: string): Promise<void> {
  const generator = startGenerator({
    port: () => relay.port(),
    connections: 1,
    messagesPerSecond: 5,
    bodyBytes: 100,
    stopMsMax: takenMsMax,
    address: () => ({ to, domain: "" }),
  });
  const isTaken = () => generator.entries.some(({ answered }) => answered);
  try {
    await eventually(isTaken, { msMax: takenMsMax, what: `${to} is taken` });
  } catch (error) {
    throw new Error(JSON.stringify(relay.log().slice(-logLinesShown)), { cause: error });
  } finally {
    await generator.stop();
  }
}
