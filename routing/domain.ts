/**
 * Domain names and address literals: the strict grammar, the mapping to canonical form, the brands.
 * The grammar comes first and once more after the mapping, because `domainToASCII` is a URL parser's
 * function: alone it turns `0x7f.1` into an IPv4 address and `ex%61mple.com` into another name.
 */
import { domainToASCII, domainToUnicode, URL } from "node:url";
import { limits } from "./limits.ts";

/** A lower-case A-label name without a trailing dot. Only `parseDomain` makes one. */
export type Domain = string & { readonly brand: "Domain" };

/** `[192.0.2.1]` or `[IPv6:2001:db8::1]`, canonical. Only `parseLiteral` makes one. */
export type Literal = string & { readonly brand: "Literal" };

export type NameOptions = { readonly utf8?: boolean };

const asciiName =
  /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const numericLastLabel = /(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$/;
const punycodeLabel = /(?:^|\.)xn--/;
const asciiOnly = /^[\x20-\x7e]*$/;
/** Letters, marks and digits of any script, and the two dots that names really contain. */
const unicodeLabels = /^(?:[\p{L}\p{M}\p{N}\u00b7\u30fb-]+\.)*[\p{L}\p{M}\p{N}\u00b7\u30fb-]+$/u;
const invisible = /\p{Default_Ignorable_Code_Point}/u;
const unicodeNumericLastLabel = /(?:^|\.)\p{N}+$/u;

/** RFC 5321 4.1.2 and RFC 5890; undefined for everything that does not fit (501 5.1.3). */
export function parseDomain(text: string, options: NameOptions = {}): Domain | undefined {
  if (text.length > limits.domainOctetsMax + 1) return undefined;
  const name = text.endsWith(".") ? text.slice(0, -1) : text;
  if (asciiOnly.test(name)) {
    const lower = name.toLowerCase();
    if (!isCanonicalShape(lower)) return undefined;
    return punycodeLabel.test(lower) ? mapped(lower) : (lower as Domain);
  }
  if (options.utf8 !== true || !isUnicodeName(name)) return undefined;
  return mapped(name);
}

const serviceName = /^(_[a-z0-9](?:[a-z0-9-]{0,13}[a-z0-9])?\._tcp)\.(.+)$/;

/** RFC 2782: the name of SRV records, `_smtp._tcp.corp.example`, canonical; only services over TCP. */
export function parseService(text: string): string | undefined {
  const [, service, name = ""] = serviceName.exec(text.toLowerCase()) ?? [];
  const domain = service === undefined ? undefined : parseDomain(name, { utf8: true });
  if (domain === undefined) return undefined;
  const whole = `${service}.${domain}`;
  return whole.length <= limits.domainOctetsMax ? whole : undefined;
}

/** Of a parsed host. */
export function isService(host: string): boolean {
  return host.startsWith("_");
}

/** Whether the text could stand in a table: no mapping, so it is cheap enough for every wire entry. */
export function isCanonicalShape(text: string): text is Domain {
  return (
    text.length <= limits.domainOctetsMax && asciiName.test(text) && !numericLastLabel.test(text)
  );
}

function isUnicodeName(name: string): boolean {
  return (
    name.isWellFormed() &&
    unicodeLabels.test(name) &&
    !invisible.test(name) &&
    !unicodeNumericLastLabel.test(name)
  );
}

/** UTS 46; the result must again be a name, and what its A-labels stand for must be visible text. */
function mapped(name: string): Domain | undefined {
  const ascii = domainToASCII(name);
  if (!isCanonicalShape(ascii)) return undefined;
  if (!punycodeLabel.test(ascii)) return ascii;
  // A label that does not decode comes back as it went in.
  const unicode = domainToUnicode(ascii);
  if (punycodeLabel.test(unicode) || !isUnicodeName(unicode)) return undefined;
  return domainToASCII(unicode) === ascii ? ascii : undefined;
}

const ipv4 = /^(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!$)|$)){4}$/;
const ipv6Characters = /^[0-9a-f:.]{2,45}$/;
const ipv4Tail = /:([0-9.]*\.[0-9.]*)$/;
const mappedIpv4 = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/;

/** An IP address in its one canonical spelling; IPv4-mapped IPv6 becomes the IPv4 address. */
export function parseIp(text: string): string | undefined {
  if (ipv4.test(text)) return text;
  const lower = text.toLowerCase();
  if (!ipv6Characters.test(lower) || !lower.includes(":")) return undefined;
  const tail = ipv4Tail.exec(lower)?.[1];
  if (tail === undefined ? lower.includes(".") : !ipv4.test(tail)) return undefined;
  const url = `http://[${lower}]/`;
  if (!URL.canParse(url)) return undefined;
  const canonical = new URL(url).hostname.slice(1, -1);
  const halves = mappedIpv4.exec(canonical);
  if (halves === null) return canonical;
  const high = Number.parseInt(halves[1] ?? "", 16);
  const low = Number.parseInt(halves[2] ?? "", 16);
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

const literalText = /^\[(?:ipv6:([0-9a-f:.]+)|([0-9.]+))\]$/i;

/** RFC 5321 4.1.3, IPv4 and IPv6 only. */
export function parseLiteral(text: string): Literal | undefined {
  if (text.length > 64) return undefined;
  const parts = literalText.exec(text);
  if (parts === null) return undefined;
  const [, v6, v4] = parts;
  if (v4 !== undefined) return ipv4.test(v4) ? (`[${v4}]` as Literal) : undefined;
  const address = v6?.includes(":") ? parseIp(v6) : undefined;
  if (address === undefined) return undefined;
  return (address.includes(":") ? `[IPv6:${address}]` : `[${address}]`) as Literal;
}

export function isLiteral(name: Domain | Literal): name is Literal {
  return name.startsWith("[");
}
