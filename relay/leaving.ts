/**
 * A relay that leaves for good: whether it does, and to whom its queue goes. Wires the hand-over to the spool, the
 * cluster and DNS, for a relay that stops and for `mailroute drain`.
 */
import { readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import type { Api } from "../kube/api.ts";
import { errorText } from "../kube/error-text.ts";
import type { Config } from "./config/config.ts";
import type { HandoverConfig } from "./config/handover.ts";
import { resolverOptions } from "./config/resolver-options.ts";
import { createResolver, type NameResolver } from "./delivery/resolver.ts";
import type { RelayState } from "./facts.ts";
import { readKey } from "./handover/key.ts";
import { startReceiver } from "./handover/receiver.ts";
import { type HandedOver, handOver } from "./handover/sender.ts";
import type { Log } from "./observe/log.ts";
import { stateIn } from "./queue/entry.ts";
import type { Queue } from "./queue/queue.ts";
import { reasonToHold } from "./queue/restore.ts";
import { Spool, type Stored } from "./spool/spool.ts";

const apiMsMax = 5000;
const keyLookMs = 10_000;

export type HandoverSite = {
  readonly options: { readonly config: Config };
  readonly spool: Spool;
  readonly state: RelayState;
  readonly log: Log;
  readonly closers: AsyncDisposableStack;
  readonly clusterApi: () => Promise<Api>;
};

/** Has the queue handed over, once it has stopped and before the spool is closed: call it before either is opened. */
export function handOverAtTheEnd(site: HandoverSite): void {
  const { handover } = site.options.config;
  if (handover === undefined) return;
  site.closers.defer(async () => {
    const { queue } = site.state;
    if (queue === undefined) return;
    try {
      if (!(await isLeaving(site, handover))) return;
      await give({ ...site, config: site.options.config, handover, messages: idle(queue) });
    } catch (error) {
      site.log.problem({ where: "handover", text: errorText(error) });
    }
  });
}

/**
 * Takes other relays' messages from now on. Without the key or the port it takes none, says so, and tries again: mail
 * does not wait for that.
 */
export async function openHandover(site: HandoverSite, queue: Queue): Promise<void> {
  const { options, state } = site;
  const { handover } = options.config;
  if (handover === undefined || state.stopping) return;
  try {
    await receive(site, { handover, key: await readKey(handover.keyFile), queue });
    state.problems.set("handover", []);
  } catch (error) {
    state.problems.set("handover", [{ where: "handover", text: errorText(error) }]);
    setTimeout(() => void openHandover(site, queue), keyLookMs).unref();
  }
}

type Receiving = {
  readonly handover: HandoverConfig;
  readonly key: Buffer;
  readonly queue: Queue;
};

async function receive(
  { options, spool, state, log, closers }: HandoverSite,
  { handover, key, queue }: Receiving,
): Promise<void> {
  const receiver = await startReceiver({
    ...handover,
    key,
    spool,
    find: (id) => queue.find(id)?.envelope,
    take: (stored) => queue.takeOver(stored),
    isStopping: () => state.stopping,
    messageBytesMax: options.config.limits.messageBytesMax,
    taken: ({ id }, from) => log.takenOver({ id, from }),
  });
  closers.defer(() => receiver.close());
}

/** Those that nothing is under way for, as they are on disk. */
function* idle(queue: Queue): Generator<Stored> {
  for (const entry of queue.entries()) {
    if (entry.underWay === 0) yield { envelope: entry.envelope, state: stateIn(entry) };
  }
}

/**
 * Everything in a spool that no relay uses; `emptied` is called where nothing is left, while the spool is still ours.
 * Rejects with SpoolError where it cannot be opened.
 */
export async function drainSpool(options: {
  readonly config: Config;
  readonly handover: HandoverConfig;
  readonly log: Log;
  /** Has the volume deleted; undefined: it stays. */
  readonly emptied: (() => Promise<void>) | undefined;
}): Promise<HandedOver> {
  const { directory, limits, owner = options.config.hostname } = options.config.spool;
  const spool = await Spool.open({ directory, owner, limits, isDrain: true });
  try {
    let damaged = 0;
    const listed = spool.list((id) => {
      damaged += 1;
      options.log.corrupt(id);
    });
    const messages = heldWhere(reasonToHold(spool, options.config.spool), listed);
    const { given, left } = await give({ ...options, spool, messages });
    const remains = left + damaged;
    // Whatever was counted: with the volume would go what is still in it.
    if (remains === 0 && !spool.isEmpty) throw new Error("the spool is not empty: run it again");
    if (remains === 0 && options.emptied !== undefined) await retire(spool, options.emptied);
    return { given, left: remains };
  } finally {
    await spool.close();
  }
}

/** What may have been delivered since waits at the other relay, too. */
function* heldWhere(why: string | undefined, messages: Iterable<Stored>): Generator<Stored> {
  for (const { envelope, state } of messages) {
    const held = state.held ?? (why === undefined ? undefined : { sinceMs: Date.now(), why });
    yield { envelope, state: { ...state, ...(held !== undefined && { held }) } };
  }
}

/** From here to the volume's end no relay takes mail into it; where its end does not come, it is as it was. */
async function retire(spool: Spool, emptied: () => Promise<void>): Promise<void> {
  await spool.retire();
  try {
    await emptied();
  } catch (error) {
    await spool.reinstate();
    throw error;
  }
}

async function give(options: {
  readonly config: Config;
  readonly handover: HandoverConfig;
  readonly spool: Spool;
  readonly messages: Iterable<Stored>;
  readonly log: Log;
}): Promise<HandedOver> {
  const { config, handover, spool, messages, log } = options;
  const resolver = createResolver(resolverOptions(config));
  const domains = [...config.dns.searchDomains, ...(await systemSearchDomains())];
  const names = [handover.siblings, ...domains.map((domain) => `${handover.siblings}.${domain}`)];
  const own = new Set(
    Object.values(networkInterfaces()).flatMap((each) =>
      (each ?? []).map(({ address }) => address),
    ),
  );
  try {
    const done = await handOver({
      key: await readKey(handover.keyFile),
      messages,
      async body(envelope) {
        const body = await spool.body(envelope);
        return typeof body === "string" ? undefined : body;
      },
      siblings: async () =>
        (await firstAddresses(resolver, names)).filter((each) => !own.has(each)),
      port: handover.port,
      async given(envelope, to) {
        await spool.commit([{ kind: "remove", envelope }]);
        log.handedOver({ id: envelope.id, to });
      },
      signal: AbortSignal.timeout(handover.timeMsMax),
    });
    log.handover(done);
    return done;
  } finally {
    resolver.close();
  }
}

/** Of the first name that has any: a name without its domain may be unknown, or may not be answered for at all. */
async function firstAddresses(
  resolver: NameResolver,
  names: readonly string[],
): Promise<readonly string[]> {
  for (const name of names) {
    const answer = await resolver.addresses(name);
    if (answer.kind === "addresses") return answer.addresses;
  }
  return [];
}

/** A name within the cluster is known in full only with the cluster's domain, which is in here (resolv.conf(5)). */
async function systemSearchDomains(): Promise<readonly string[]> {
  const text = await readFile("/etc/resolv.conf", "utf8").catch(() => "");
  const [, list = ""] = /^search[ \t]+(.+)$/m.exec(text) ?? [];
  return list.split(/\s+/).filter((each) => each !== "");
}

/** Its ordinal is not among the StatefulSet's replicas any more. An API server that does not answer says nothing. */
async function isLeaving(
  { options, clusterApi }: HandoverSite,
  { statefulSet }: HandoverConfig,
): Promise<boolean> {
  const { routes, spool } = options.config;
  const namespace = routes.installation?.namespace;
  const ordinal = /-(\d+)$/.exec(spool.owner ?? "")?.[1];
  if (statefulSet === undefined || namespace === undefined || ordinal === undefined) return false;
  const api = await clusterApi();
  const { status, body } = await api.request({
    path: `/apis/apps/v1/namespaces/${namespace}/statefulsets/${statefulSet}`,
    signal: AbortSignal.timeout(apiMsMax),
  });
  if (status !== 200) throw new Error(`reading the StatefulSet answered ${status}`);
  const { replicas = 1, ordinals } = body["spec"] as {
    readonly replicas?: number;
    readonly ordinals?: { readonly start?: number };
  };
  const start = ordinals?.start ?? 0;
  return Number(ordinal) < start || Number(ordinal) >= start + replicas;
}
