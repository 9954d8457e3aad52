/**
 * MTA-STS as text (RFC 8461): what a domain's TXT records and its policy file say, and whether a mail host is one
 * that the policy names. Pure; undefined means that there is nothing to go by.
 */
import { parseDomain } from "../../../routing/domain.ts";

export type StsPolicy = {
  readonly mode: "enforce" | "testing" | "none";
  /** Canonical names, or "*." and one. */
  readonly mx: readonly string[];
  readonly maxAgeMs: number;
};

/** Section 3.2: a year. A policy of no age at all would be fetched for each message. */
const maxAgeSecondsMax = 31_557_600;
const maxAgeSecondsMin = 60;

/** Section 3.1: the id, where exactly one record is of this version. */
export function policyId(records: readonly string[]): string | undefined {
  const ours = records.filter((text) => /^v=STSv1[ \t]*;/.test(text));
  const [only] = ours;
  if (only === undefined || ours.length > 1) return undefined;
  return /;[ \t]*id=([A-Za-z0-9]{1,32})[ \t]*(?:;|$)/.exec(only)?.[1];
}

/** Section 3.2. Of a field that stands there twice the first counts; unknown ones are ignored. */
export function parsePolicy(text: string): StsPolicy | undefined {
  const fields = new Map<string, string>();
  const mx: string[] = [];
  for (const line of text.split(/\r?\n/)) {
    const [, name = "", value = ""] =
      /^[ \t]*([A-Za-z0-9_.-]+)[ \t]*:[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
    if (name === "mx") mx.push(value);
    else if (!fields.has(name)) fields.set(name, value);
  }
  const mode = fields.get("mode");
  const maxAge = fields.get("max_age") ?? "";
  if (fields.get("version") !== "STSv1" || !/^\d{1,10}$/.test(maxAge)) return undefined;
  if (mode !== "enforce" && mode !== "testing" && mode !== "none") return undefined;
  const patterns = mx.map(canonicalPattern);
  const known = patterns.filter((pattern) => pattern !== undefined);
  if (known.length < patterns.length || (known.length === 0 && mode !== "none")) return undefined;
  const seconds = Math.min(Math.max(Number(maxAge), maxAgeSecondsMin), maxAgeSecondsMax);
  return { mode, mx: known, maxAgeMs: seconds * 1000 };
}

function canonicalPattern(text: string): string | undefined {
  const star = text.startsWith("*.") ? "*." : "";
  const domain = parseDomain(text.slice(star.length));
  return domain === undefined ? undefined : `${star}${domain}`;
}

/** Section 4.1: a star stands for the leftmost label, and for one only. */
export function isListed(host: string, { mx }: StsPolicy): boolean {
  const name = host.toLowerCase().replace(/\.$/, "");
  const parent = name.slice(name.indexOf(".") + 1);
  return mx.some((pattern) =>
    pattern.startsWith("*.") ? name.includes(".") && pattern.slice(2) === parent : pattern === name,
  );
}
