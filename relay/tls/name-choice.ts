/** Pure: which of several certificates a client gets for the name that it asks for (RFC 6066 section 3). */
import { wildcardOf } from "../listener/certificate-names.ts";

/**
 * By exact name, then by wildcard (of one label, RFC 9525 section 6.3), then the first. Where two have the same
 * name, the first of them counts. `names` are lower-case.
 */
export function chooseByName<T extends { readonly names: readonly string[] }>(
  certificates: readonly [T, ...T[]],
): (servername: string | undefined) => T {
  const byName = new Map<string, T>();
  for (const each of certificates) {
    for (const name of each.names) if (!byName.has(name)) byName.set(name, each);
  }
  return (servername) => {
    if (servername === undefined) return certificates[0];
    const name = servername.toLowerCase().replace(/\.$/, "");
    return byName.get(name) ?? byName.get(wildcardOf(name)) ?? certificates[0];
  };
}
