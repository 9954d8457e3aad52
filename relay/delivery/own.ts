/** Whether an address and port that a host name led to are our own listener. Pure. */
import { parseIp } from "../../routing/domain.ts";
import { networkSet } from "../../routing/network.ts";

export type Endpoint = { readonly address: string; readonly port: number };

const loopback = networkSet(["127.0.0.0/8", "::1"]);

/** A listener on every address is also at each loopback address. */
export function isOwn(endpoint: Endpoint, own: readonly Endpoint[]): boolean {
  return own.some(({ address, port }) => {
    if (port !== endpoint.port) return false;
    const isAnywhere = endpoint.address === "0.0.0.0" || endpoint.address === "::";
    if (isAnywhere) return true; // the kernel takes it for loopback
    if (address === "0.0.0.0" || address === "::") return loopback.has(endpoint.address);
    return canonical(address) === canonical(endpoint.address);
  });
}

function canonical(address: string): string {
  return parseIp(address) ?? address.toLowerCase();
}
