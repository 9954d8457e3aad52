/**
 * IP addresses and CIDR blocks as numbers, and the networks that no tenant's route may reach: those on
 * which a host name of his own would otherwise open the relay's or the cluster's inside to him.
 */
import { parseIp } from "./domain.ts";

export type Block = { readonly bits: 32 | 128; readonly first: bigint; readonly prefix: number };

/** Loopback, "this host", link-local, multicast, broadcast (RFC 6890), and NAT64's view of IPv4. */
export const alwaysDenied: readonly string[] = [
  "0.0.0.0/8",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "224.0.0.0/4",
  "255.255.255.255/32",
  "::/127",
  "64:ff9b::/96",
  "fe80::/10",
  "ff00::/8",
];

/** Names that stand for the inside whatever DNS says. */
const deniedName =
  /^(?:.+\.)?localhost$|^(?:.+\.)?localhost\.localdomain$|^kubernetes(?:\.default(?:\.svc(?:\..+)?)?)?$/;

export function isDeniedName(host: string): boolean {
  return deniedName.test(host);
}

/** A CIDR block or a single address; bits beyond the prefix are ignored. */
export function parseBlock(text: string): Block | undefined {
  const [head = "", tail, ...rest] = text.split("/");
  const ip = parseIp(head);
  if (ip === undefined || rest.length > 0) return undefined;
  const bits = ip.includes(":") ? 128 : 32;
  const prefix = tail === undefined ? bits : Number(tail);
  if (tail !== undefined && !/^(?:0|[1-9][0-9]{0,2})$/.test(tail)) return undefined;
  // A mapped block such as ::ffff:10.0.0.0/104 would mean something else after unmapping.
  if (prefix > bits || (bits === 32 && head.includes(":") && tail !== undefined)) return undefined;
  return { bits, first: masked(numberOf(ip), bits, prefix), prefix };
}

export function isInBlock(ip: string, block: Block): boolean {
  const bits = ip.includes(":") ? 128 : 32;
  return bits === block.bits && masked(numberOf(ip), bits, block.prefix) === block.first;
}

/** Blocks that do not parse are skipped: whoever reads the configuration has refused them. */
export function parseBlocks(texts: readonly string[]): readonly Block[] {
  return texts.map(parseBlock).filter((block) => block !== undefined);
}

/**
 * Whether a route may not connect to this address (canonical, as `parseIp` makes it): it is in a denied
 * network and the route's `reach` does not name it. For compile, and for relays after a look-up.
 */
export function isDeniedAddress(
  ip: string,
  options: {
    readonly denied: readonly Block[];
    readonly reach: "anywhere" | readonly string[] | undefined;
  },
): boolean {
  if (options.reach === "anywhere") return false;
  if (!options.denied.some((block) => isInBlock(ip, block))) return false;
  return !parseBlocks(options.reach ?? []).some((block) => isInBlock(ip, block));
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
