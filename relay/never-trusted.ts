/**
 * The addresses from which nobody is ever trusted by address: those that were given, and this machine's own and its
 * gateways, behind which source NAT may hide anybody. Adapter over the system; addresses may change while running.
 */
import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { type NetworkSet, networkSet } from "../routing/network.ts";
import { defaultGateways } from "./policy/gateways.ts";

export type NeverTrusted = Pick<NetworkSet, "has"> & { stop(): void };

/** How often the machine's addresses are looked at. */
const lookMs = 60_000;

/** `given`: addresses and networks that have been checked. */
export function watchNeverTrusted(given: readonly string[]): NeverTrusted {
  let never = networkSet([...given, ...ownAddresses()]);
  const timer = setInterval(() => {
    never = networkSet([...given, ...ownAddresses()]);
  }, lookMs);
  timer.unref();
  return { has: (address) => never.has(address), stop: () => clearInterval(timer) };
}

/** Of every interface but loopback, where nothing is translated: what comes from there is on this machine. */
function ownAddresses(): string[] {
  const interfaces = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const own = interfaces.flatMap(({ internal, address }) =>
    internal ? [] : [address.replace(/%.*$/, "")],
  );
  return [...own, ...defaultGateways(read("/proc/net/route"), read("/proc/net/ipv6_route"))];
}

/** "" where the system has no such file. */
function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
