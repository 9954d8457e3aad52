/** What the configuration says of DNS, for whoever resolves names. Pure. */
import type { ResolverOptions } from "../delivery/resolver.ts";
import type { Config } from "./config.ts";

export function resolverOptions({ dns }: Pick<Config, "dns">): ResolverOptions {
  const { servers, searchDomains, timeoutMsMax } = dns;
  // None are those of the system.
  return { ...(servers.length > 0 && { servers }), searchDomains, timeoutMs: timeoutMsMax };
}
