/**
 * Sets of IP networks. Adapter over ipaddr.js: addresses are unmapped first (::ffff:192.0.2.1 is
 * 192.0.2.1), so that no spelling of a client's address gets round a rule.
 */
import ipaddr from "ipaddr.js";

export type NetworkSet = { has(address: string): boolean };

type Parsed = ipaddr.IPv4 | ipaddr.IPv6;

/** `networks` are addresses or CIDR texts that the configuration has checked; throws on others. */
export function networkSet(networks: readonly string[]): NetworkSet {
  const ranges = networks.map(parseNetwork);
  return {
    has(address) {
      if (!ipaddr.isValid(address)) return false;
      const parsed = ipaddr.process(address);
      return ranges.some(
        ([base, bits]) => base.kind() === parsed.kind() && parsed.match(base, bits),
      );
    },
  };
}

/** Unmapped, zone-free text of a socket's remote address. */
export function plainAddress(address: string): string {
  const bare = address.replace(/%.*$/, "");
  return ipaddr.isValid(bare) ? ipaddr.process(bare).toString() : bare;
}

/** A mapped network (::ffff:10.0.0.0/104) means the IPv4 one. */
function parseNetwork(text: string): [Parsed, number] {
  if (!text.includes("/")) {
    const address = ipaddr.process(text);
    return [address, address.kind() === "ipv4" ? 32 : 128];
  }
  const [base, bits] = ipaddr.parseCIDR(text);
  if (base.kind() === "ipv6" && (base as ipaddr.IPv6).isIPv4MappedAddress() && bits >= 96) {
    return [(base as ipaddr.IPv6).toIPv4Address(), bits - 96];
  }
  return [base, bits];
}
