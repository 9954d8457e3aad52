/**
 * From a hop to an open connection: names to addresses, addresses to sockets, sockets to a NextHop that
 * has said EHLO. Goes through the addresses of one host and falls back to clear text where the policy
 * allows; choosing among hosts, and keeping connections, is done elsewhere.
 */
import { connect, type Socket } from "node:net";
import {
  alwaysDenied,
  hostlessNetworks,
  isDeniedAddress,
  networkSet,
} from "../../routing/network.ts";
import { NextHop } from "./next-hop.ts";
import { Tokens } from "./oauth2/tokens.ts";
import type { DeliveryOptions, HopLimits } from "./options.ts";
import { isOwn } from "./own.ts";
import type { Hop } from "./policy.ts";
import { deferred, failed, type Trouble } from "./reply.ts";
import { Secrets, type Terms } from "./secrets.ts";

type Dialled = { readonly connection: NextHop } | { readonly trouble: Trouble };

export type Dial = (hop: Hop, cutOff: AbortSignal) => Promise<Dialled>;

type Addresses = { readonly addresses: readonly string[] } | { readonly trouble: Trouble };

export function createDial(
  options: DeliveryOptions,
  settings: { readonly limits: HopLimits; readonly now: () => number },
): Dial {
  const { limits, now } = settings;
  const { random = Math.random, events = {} } = options;
  const noExchangers = networkSet(options.mxDeniedNetworks ?? hostlessNetworks);
  const denied = networkSet([...alwaysDenied, ...(options.deniedNetworks ?? [])]);
  const { credentials, resolver } = options;
  const tokens = new Tokens({ resolver, denied, events, now, random, limits });
  const secrets = new Secrets({ credentials, tokens });

  async function addressesOf(hop: Hop): Promise<Addresses> {
    if (options.dial !== undefined) return { addresses: [hop.host] };
    const answer = await options.resolver.addresses(hop.host, { search: hop.via === "hosts" });
    if (answer.kind === "unanswered") {
      const text = `DNS gave no answer about ${hop.host}: ${answer.reason}`;
      return { trouble: deferred("dns", "4.4.3", text) };
    }
    if (answer.kind !== "addresses") return { trouble: nameless(hop) };
    const own = options.ownAddresses?.() ?? [];
    const foreign = answer.addresses.filter((address) => !isOwn({ address, port: hop.port }, own));
    if (foreign.length < answer.addresses.length) {
      return { trouble: failed(554, "5.4.6", `${hop.name} is this system itself: mail loops`) };
    }
    const usable =
      hop.via === "hosts" ? foreign : foreign.filter((address) => !noExchangers.has(address));
    if (usable.length === 0) {
      const text = `${hop.host} has no address that mail may be sent to`;
      return { trouble: failed(550, "5.4.4", text) };
    }
    const { reach } = hop.policy;
    const allowed = usable.filter((address) => !isDeniedAddress(address, { denied, reach }));
    if (allowed.length === 0) return { trouble: outOfReach(hop, usable) };
    return { addresses: rotated(allowed, random).slice(0, limits.addressesPerHostMax) };
  }

  async function openAt(hop: Hop, address: string, terms: Terms, cutOff: AbortSignal) {
    const began = now();
    const socket = options.dial?.(address, hop.port) ?? connect({ host: address, port: hop.port });
    const refused = await connected(socket, { hop, address, ms: limits.connectMsMax, cutOff });
    if (refused !== undefined) return { trouble: refused };
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
      ...{ hop: name, address, verified: tls?.verified === true, ms: now() - began },
      ...(tls === undefined ? {} : { tls: tls.version }),
      ...(mechanism === undefined ? {} : { mechanism }),
      ...(policy.sts === undefined ? {} : { sts: policy.sts }),
    });
    return { connection };
  }

  return async function dial(hop, cutOff) {
    const terming = await secrets.termsFor(hop, cutOff);
    if ("trouble" in terming) return terming;
    let { terms } = terming;
    const found = await addressesOf(hop);
    if ("trouble" in found) return found;
    let last: Trouble = deferred("connect", "4.4.1", `${hop.name} has no address`);
    for (const address of found.addresses) {
      let dialled: Dialled = await openAt(hop, address, terms, cutOff);
      if (isTlsTrouble(dialled) && hop.policy.tls.mode === "Opportunistic") {
        dialled = await openAt(hop, address, { ...terms, startTls: "never" }, cutOff);
      }
      const renewed = isRefusedLogin(dialled) && (await secrets.renewed(hop, terms, cutOff));
      if (renewed) {
        terms = renewed;
        dialled = await openAt(hop, address, terms, cutOff);
      }
      if ("connection" in dialled) return dialled;
      last = dialled.trouble;
      if (cutOff.aborted || isSettled(last)) break;
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

/** A configured name that is missing is its owner's mistake; a recipient's domain that is, the sender's. */
function nameless({ host, via }: Hop): Trouble {
  if (via === "hosts") return deferred("dns", "4.4.3", `the host ${host} has no address in DNS`);
  if (via === "mx") return failed(550, "5.4.4", `the mail host ${host} has no address in DNS`);
  return failed(550, "5.1.2", `the domain ${host} has neither a mail host nor an address in DNS`);
}

/** The rule's fault, never the sender's: an admin may name the network, or the host may move. */
function outOfReach({ name }: Hop, addresses: readonly string[]): Trouble {
  const where = addresses.slice(0, 3).join(", ");
  const text = `${name} is at ${where}, in a network that this route may not reach (routes.deniedNetworks): use another host, or ask an admin to name the network in targets.hosts of the MailGrant`;
  return deferred("unavailable", "4.3.5", text);
}

/** Any address may come first within its family; the families keep their order. */
function rotated(addresses: readonly string[], random: () => number): readonly string[] {
  if (addresses.length < 2) return addresses;
  const families = Map.groupBy(addresses, (address) => address.includes(":"));
  return [...families.values()].flatMap((family) => {
    const first = Math.floor(random() * family.length);
    return [...family.slice(first), ...family.slice(0, first)];
  });
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
