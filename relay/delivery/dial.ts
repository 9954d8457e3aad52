/**
 * From a hop to an open connection: addresses to sockets, sockets to a NextHop that has said EHLO. Goes
 * through the addresses of one host (addresses.ts, race.ts) and falls back to clear text where the policy
 * allows; choosing among hosts, and keeping connections, is done elsewhere.
 */
import { connect, type Socket } from "node:net";
import { alwaysDenied, networkSet } from "../../routing/network.ts";
import { createAddressFinder } from "./addresses.ts";
import { NextHop } from "./next-hop.ts";
import { Tokens } from "./oauth2/tokens.ts";
import type { DeliveryOptions, HopLimits } from "./options.ts";
import type { Hop } from "./policy.ts";
import { type Connected, firstToConnect, type Race } from "./race.ts";
import { deferred, type Trouble } from "./reply.ts";
import { Secrets, type Terms } from "./secrets.ts";

type Dialled = { readonly connection: NextHop } | { readonly trouble: Trouble };

export type Dial = (hop: Hop, cutOff: AbortSignal) => Promise<Dialled>;

type Meeting = {
  readonly socket: Socket;
  readonly address: string;
  readonly beganMs: number;
  readonly terms: Terms;
  readonly cutOff: AbortSignal;
};

/** RFC 8305 section 8: the connection attempt delay. */
const headStartMs = 250;

export function createDial(
  options: DeliveryOptions,
  settings: { readonly limits: HopLimits; readonly now: () => number },
): Dial {
  const { limits, now } = settings;
  const { random = Math.random, events = {}, credentials, resolver } = options;
  const denied = networkSet([...alwaysDenied, ...(options.deniedNetworks ?? [])]);
  const tokens = new Tokens({ resolver, denied, events, now, random, limits });
  const secrets = new Secrets({ credentials, tokens });
  const addressesOf = createAddressFinder(options, limits);

  async function connectTo(hop: Hop, address: string, cutOff: AbortSignal): Promise<Connected> {
    const socket = options.dial?.(address, hop.port) ?? connect({ host: address, port: hop.port });
    const refused = await connected(socket, { hop, address, ms: limits.connectMsMax, cutOff });
    return refused === undefined ? { socket } : { trouble: refused };
  }

  async function greet(hop: Hop, { socket, address, beganMs, terms, cutOff }: Meeting) {
    const { host, name, policy } = hop;
    const { heloName, protocol } = policy;
    const connection = new NextHop({
      ...{ socket, hop: name, host, heloName, protocol, limits, now },
      ...terms,
    });
    const trouble = await opened(connection, cutOff);
    if (trouble !== undefined) return { trouble };
    const { tls, mechanism } = connection;
    events.connectionOpened?.({
      ...{ hop: name, address, verified: tls?.verified === true, ms: now() - beganMs },
      ...(tls === undefined ? {} : { tls: tls.version }),
      ...(mechanism === undefined ? {} : { mechanism }),
      ...(policy.sts === undefined ? {} : { sts: policy.sts }),
    });
    return { connection };
  }

  /** Greets on the socket, and once more in clear text where TLS fails and the policy allows that. */
  async function openOn(hop: Hop, meeting: Meeting): Promise<Dialled> {
    const dialled = await greet(hop, meeting);
    if (!isTlsTrouble(dialled) || hop.policy.tls.mode !== "Opportunistic") return dialled;
    return await openAgain(hop, { ...meeting, terms: { ...meeting.terms, startTls: "never" } });
  }

  /** On another connection to the same address. */
  async function openAgain(hop: Hop, meeting: Meeting): Promise<Dialled> {
    const again = await connectTo(hop, meeting.address, meeting.cutOff);
    return "trouble" in again ? again : await greet(hop, { ...meeting, ...again });
  }

  return async function dial(hop, cutOff) {
    const terming = await secrets.termsFor(hop, cutOff);
    if ("trouble" in terming) return terming;
    let { terms } = terming;
    const found = await addressesOf(hop);
    if ("trouble" in found) return found;
    let last: Trouble = deferred("connect", "4.4.1", `${hop.name} has no address`);
    const race: Race = {
      connect: async (address, signal) => await connectTo(hop, address, signal),
      ...{ headStartMs, cutOff },
    };
    for (let left = found.addresses; left.length > 0 && !cutOff.aborted; ) {
      const beganMs = now();
      const raced = await firstToConnect(left, race);
      if ("trouble" in raced) return raced;
      const meeting: Meeting = { ...raced, beganMs, terms, cutOff };
      let dialled = await openOn(hop, meeting);
      const renewed = isRefusedLogin(dialled) && (await secrets.renewed(hop, terms, cutOff));
      if (renewed) {
        terms = renewed;
        dialled = await openAgain(hop, { ...meeting, terms });
      }
      if ("connection" in dialled) return dialled;
      last = dialled.trouble;
      if (isSettled(last)) break;
      left = raced.left;
    }
    return { trouble: last };
  };
}

/** Another address of the same host would say the same. */
function isSettled(trouble: Trouble): boolean {
  return trouble.kind === "failed" || trouble.cause === "auth" || trouble.cause === "tls";
}

function isTlsTrouble(dialled: Dialled): boolean {
  if (!("trouble" in dialled)) return false;
  return dialled.trouble.kind === "deferred" && dialled.trouble.cause === "tls";
}

/** RFC 4954 section 6: what was shown is wrong, or not valid any more. */
function isRefusedLogin(dialled: Dialled): boolean {
  if (!("trouble" in dialled) || dialled.trouble.kind !== "deferred") return false;
  return dialled.trouble.cause === "auth" && dialled.trouble.reply.code === 535;
}

type Waiting = { hop: Hop; address: string; ms: number; cutOff: AbortSignal };

async function connected(socket: Socket, waiting: Waiting): Promise<Trouble | undefined> {
  const { hop, address, ms, cutOff } = waiting;
  return await new Promise((resolve) => {
    const end = (trouble?: Trouble) => {
      clearTimeout(timer);
      socket.off("connect", onConnect).off("error", onError);
      cutOff.removeEventListener("abort", onAbort);
      if (trouble !== undefined) socket.on("error", () => {}).destroy();
      resolve(trouble);
    };
    const onConnect = () => end();
    const onError = (error: Error) => {
      end(deferred("connect", "4.4.1", `${hop.name} (${address}): ${error.message}`));
    };
    const onAbort = () => end(shuttingDown());
    const onLate = () => end(deferred("timeout", "4.4.1", `${hop.name} (${address}) is silent`));
    const timer = setTimeout(onLate, ms);
    if (cutOff.aborted) return onAbort();
    cutOff.addEventListener("abort", onAbort, { once: true });
    socket.on("error", onError);
    if (!socket.connecting && !socket.pending) onConnect();
    else socket.once("connect", onConnect);
  });
}

async function opened(connection: NextHop, cutOff: AbortSignal): Promise<Trouble | undefined> {
  return await new Promise((resolve) => {
    const onAbort = () => connection.abort(shuttingDown());
    cutOff.addEventListener("abort", onAbort, { once: true });
    connection.open((trouble) => {
      cutOff.removeEventListener("abort", onAbort);
      resolve(trouble);
    });
  });
}

export function shuttingDown(): Trouble {
  return deferred("shutdown", "4.3.2", "this relay is stopping");
}

/** Somebody else needs the room in which we wait; whoever is asked again is given the full time. */
export function outwaited(name: string): Trouble {
  return deferred("timeout", "4.4.1", `${name} has not answered for a while, and other mail waits`);
}

/** `trouble`, or where it says that we had no patience: the host lives, and nothing is said against it. */
export function busy(trouble: Trouble, name: string): Trouble {
  const isOutwaited = trouble.kind === "deferred" && trouble.cause === "timeout";
  return isOutwaited
    ? deferred("local", "4.3.2", `${name} takes other mail of ours first`)
    : trouble;
}
