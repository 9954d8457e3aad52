/**
 * Whether a client is trusted to send anywhere: pure, and the one place that says so. Every doubt about where a
 * client is counts against it. See docs/security.md.
 */
import { hostlessNetworks, type NetworkSet, networkSet } from "../../routing/network.ts";

export type TrustRules = {
  readonly trustedNetworks: NetworkSet;
  /** Nodes, gateways, balancers: whoever seems to come from there may be somebody else. */
  readonly neverTrusted: Pick<NetworkSet, "has">;
  readonly trustedListeners: ReadonlySet<string>;
};

/** What is known of a client; see `Client` and `Greeting` of the listener. */
export type Origin = {
  readonly address: string;
  readonly listener: string;
  /** Who connected in its stead. */
  readonly balancer?: string | undefined;
  /** The listed name in a certificate of its that verifies. */
  readonly clientName?: string | undefined;
};

/** Of a client behind a balancer these are the balancer's own loopback and link, which say nothing to us. */
const hostless = networkSet(hostlessNetworks);

export function isTrusted(origin: Origin, rules: TrustRules): boolean {
  return (
    rules.trustedListeners.has(origin.listener) ||
    origin.clientName !== undefined ||
    isTrustedByAddress(origin, rules)
  );
}

function isTrustedByAddress({ address, balancer }: Origin, rules: TrustRules): boolean {
  if (balancer !== undefined && (address === balancer || hostless.has(address))) return false;
  return rules.trustedNetworks.has(address) && !rules.neverTrusted.has(address);
}
