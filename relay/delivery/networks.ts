/** Which addresses a host found by DNS may have, and which are our own. Pure. */
import { BlockList, isIPv6 } from "node:net";

/** No MX host is ourselves, a link or a group (RFC 5321 section 5.1 has no word for "localhost." as MX). */
export const defaultDenyNetworks: readonly string[] = [
  "0.0.0.0/8",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "224.0.0.0/4",
  "255.255.255.255/32",
  "::/128",
  "::1/128",
  "fe80::/10",
  "ff00::/8",
];

/** Throws a RangeError or TypeError where a network is none. IPv4-mapped addresses count as IPv4. */
export function networkTest(networks: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const network of networks) {
    const [address = "", bits] = network.split("/");
    const family = isIPv6(address) ? "ipv6" : "ipv4";
    list.addSubnet(
      address,
      bits === undefined ? (family === "ipv6" ? 128 : 32) : Number(bits),
      family,
    );
  }
  return (address) => list.check(address, isIPv6(address) ? "ipv6" : "ipv4");
}

const isLoopback = networkTest(["127.0.0.0/8", "::1/128"]);

export type Endpoint = { readonly address: string; readonly port: number };

/** A listener on every address is also at each loopback address. */
export function isOwn(endpoint: Endpoint, own: readonly Endpoint[]): boolean {
  return own.some(({ address, port }) => {
    if (port !== endpoint.port) return false;
    if (address === "0.0.0.0" || address === "::") return isLoopback(endpoint.address);
    return unmapped(address) === unmapped(endpoint.address);
  });
}

function unmapped(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, "").toLowerCase();
}
