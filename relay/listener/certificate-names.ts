/** Pure: the names that a certificate is for, and the patterns that a list of names may have. */
import type { X509Certificate } from "node:crypto";

/** One entry of a subjectAltName as OpenSSL prints it; what has special characters stands in quotes. */
const altName = /([^:,]+):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/g;

/**
 * Lower-case DNS names of the subjectAltName; where there is none, the common names (RFC 9525 section 6.3
 * leaves the latter to those who still have such certificates). Wildcards are as written.
 */
export function namesOf(certificate: X509Certificate): readonly string[] {
  const dns: string[] = [];
  for (const [, kind, value = ""] of (certificate.subjectAltName ?? "").matchAll(altName)) {
    // No DNS name needs quotes: what has them is none.
    if (kind === "DNS" && !value.startsWith('"')) dns.push(value.toLowerCase());
  }
  if (dns.length > 0) return dns;
  const common: unknown = certificate.toLegacyObject().subject?.CN;
  const all = Array.isArray(common) ? common : [common];
  return all.flatMap((each) => (typeof each === "string" ? [each.toLowerCase()] : []));
}

export type NameList = {
  /** Whether a client's name is listed. A wildcard in the name itself is no name. */
  has(name: string): boolean;
};

/** Exact names, and "*.domain" for those with exactly one label more. */
export function nameList(patterns: readonly string[]): NameList {
  const listed = new Set(patterns.map((each) => each.toLowerCase()));
  return {
    has(name) {
      const lower = name.toLowerCase();
      if (lower.includes("*")) return false;
      return listed.has(lower) || listed.has(wildcardOf(lower));
    },
  };
}

/** The wildcard that covers a name: "*" for its first label. */
export function wildcardOf(name: string): string {
  const dot = name.indexOf(".");
  return dot > 0 ? `*${name.slice(dot)}` : "";
}
