/** Pure: what "every address" means on a machine without IPv6. */

/**
 * Where to listen instead, when listening on `host` failed so: "0.0.0.0" in place of "::" where the kernel has
 * no IPv6, otherwise undefined. Where IPv6 is only switched off by sysctl, "::" can be had and takes IPv4.
 */
export function hostWithoutIpv6(host: string, failure: unknown): "0.0.0.0" | undefined {
  const { code } = failure as { readonly code?: unknown };
  const isMissing = code === "EAFNOSUPPORT" || code === "EADDRNOTAVAIL";
  return host === "::" && isMissing ? "0.0.0.0" : undefined;
}
