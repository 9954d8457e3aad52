/** Pure: the default gateways in Linux' /proc/net/route and /proc/net/ipv6_route. */
import { parseIp } from "../../routing/domain.ts";

/** Both texts as read; what is no table of routes has none. */
export function defaultGateways(routes: string, routes6: string): readonly string[] {
  return [...new Set([...ipv4Gateways(routes), ...ipv6Gateways(routes6)])];
}

/** Fields: interface, destination, gateway, flags ... mask; hexadecimal, bytes of an address from the right. */
function ipv4Gateways(text: string): string[] {
  return rows(text).flatMap(([, destination, gateway = "", , , , , mask]) => {
    const isDefault = destination === "00000000" && mask === "00000000";
    if (!isDefault || !/^[0-9a-f]{8}$/i.test(gateway) || /^0+$/.test(gateway)) return [];
    return [Buffer.from(gateway, "hex").reverse().join(".")];
  });
}

/** Fields: destination, its prefix length, source, its prefix length, next hop ... */
function ipv6Gateways(text: string): string[] {
  return rows(text).flatMap(([destination = "", prefix, , , hop = ""]) => {
    const isDefault = /^0{32}$/.test(destination) && prefix === "00";
    if (!isDefault || !/^[0-9a-f]{32}$/i.test(hop) || /^0+$/.test(hop)) return [];
    const address = parseIp(hop.match(/.{4}/g)?.join(":") ?? "");
    return address === undefined ? [] : [address];
  });
}

function rows(text: string): string[][] {
  return text.split("\n").map((line) => line.trim().split(/\s+/));
}
