/**
 * IP addresses and networks as numbers: the one place that says whether an address is in a network, for
 * clients as for next hops. Also the networks that no tenant's route may reach: those on which a host
 * name of his own would otherwise open the relay's or the cluster's inside to him. Pure.
 */
import { parseIp } from "./domain.ts";

export type Block = { readonly bits: 32 | 128; readonly first: bigint; readonly prefix: number };

export type NetworkSet = {
  /** Any spelling; IPv4-mapped counts as IPv4, a zone as nothing. What is no address is in no network. */
  has(address: string): boolean;
};

/** Loopback, "this host", link-local, multicast, broadcast (RFC 6890): nobody's mail host is there. */
export const hostlessNetworks: readonly string[] = [
  "0.0.0.0/8",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "224.0.0.0/4",
  "255.255.255.255/32",
  "::/127",
  "fe80::/10",
  "ff00::/8",
];

/** And NAT64's view of IPv4, behind which all of those are again. */
export const alwaysDenied: readonly string[] = [...hostlessNetworks, "64:ff9b::/96"];

/** Names that stand for the inside whatever DNS says. */
const deniedName =
  /^(?:.+\.)?localhost$|^(?:.+\.)?localhost\.localdomain$|^kubernetes(?:\.default(?:\.svc(?:\..+)?)?)?$/;

export function isDeniedName(host: string): boolean {
  return deniedName.test(host);
}

/** A CIDR block or a single address; bits beyond the prefix are ignored, a mapped block means IPv4. */
export function parseBlock(text: string): Block | undefined {
  const [head = "", tail, ...rest] = text.split("/");
  const ip = parseIp(head);
  if (ip === undefined || rest.length > 0) return undefined;
  if (tail !== undefined && !/^(?:0|[1-9][0-9]{0,2})$/.test(tail)) return undefined;
  const bits = ip.includes(":") ? 128 : 32;
  const unmappedBits = bits === 32 && head.includes(":") ? 96 : 0;
  const prefix = tail === undefined ? bits : Number(tail) - unmappedBits;
  if (prefix < 0 || prefix > bits) return undefined;
  return { bits, first: masked(numberOf(ip), bits, prefix), prefix };
}

export function isInBlock(ip: string, block: Block): boolean {
  const bits = ip.includes(":") ? 128 : 32;
  return bits === block.bits && masked(numberOf(ip), bits, block.prefix) === block.first;
}

/** Addresses and CIDR blocks that have been checked where they were read; throws a RangeError on others. */
export function networkSet(networks: readonly string[]): NetworkSet {
  // By prefix: a look-up costs as much as there are lengths of prefixes, however many networks there are.
  const firsts = { 32: new Map<number, Set<bigint>>(), 128: new Map<number, Set<bigint>>() };
  for (const text of networks) {
    const block = parseBlock(text);
    if (block === undefined) throw new RangeError(`not a network: ${text}`);
    const known = firsts[block.bits].get(block.prefix);
    if (known === undefined) firsts[block.bits].set(block.prefix, new Set([block.first]));
    else known.add(block.first);
  }
  return {
    has(address) {
      const ip = parseIp(address.replace(/%.*$/, ""));
      if (ip === undefined) return false;
      const bits = ip.includes(":") ? 128 : 32;
      if (firsts[bits].size === 0) return false;
      const value = numberOf(ip);
      for (const [prefix, some] of firsts[bits]) {
        if (some.has(masked(value, bits, prefix))) return true;
      }
      return false;
    },
  };
}

/**
 * Whether a route may not connect to this address: it is in a denied network and the route's `reach` does
 * not name it, or it is no address. For compile, and for relays after a look-up.
 */
export function isDeniedAddress(
  address: string,
  options: {
    readonly denied: NetworkSet;
    readonly reach: "anywhere" | readonly string[] | undefined;
  },
): boolean {
  if (options.reach === "anywhere") return false;
  if (parseIp(address) === undefined) return true;
  return options.denied.has(address) && !networkSet(options.reach ?? []).has(address);
}

function masked(value: bigint, bits: number, prefix: number): bigint {
  const shift = BigInt(bits - prefix);
  return (value >> shift) << shift;
}

function numberOf(ip: string): bigint {
  if (!ip.includes(":")) {
    return ip.split(".").reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);
  }
  const [left = "", right] = ip.split("::");
  const head = left === "" ? [] : left.split(":");
  const tail = right === undefined || right === "" ? [] : right.split(":");
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => "0");
  return [...head, ...zeros, ...tail].reduce((sum, part) => (sum << 16n) | BigInt(`0x${part}`), 0n);
}
