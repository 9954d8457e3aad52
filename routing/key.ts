/**
 * Keys: what a table entry stands under. A recipient key or sender key is one line of text, kind first
 * ("address:ceo@corp.example", "domain:hq.corp.example", "suffix:corp.example", "suffix:."), so that
 * logs, queued recipients, statuses and the wire all use the same spelling.
 */
import { type Address, localKey } from "./address.ts";
import { type Domain, isCanonicalShape, type Literal, parseLiteral } from "./domain.ts";

export type RecipientKey = string & { readonly brand: "RecipientKey" };
export type SenderKey = string & { readonly brand: "SenderKey" };

/** The suffix that every domain has. */
export const everyDomain = ".";

export type KeyKind = "address" | "domain" | "suffix";

/** `name` is "local@domain" (local part as `localKey` makes it), a domain or literal, or a suffix. */
export type KeyParts = { readonly kind: KeyKind; readonly name: string };

/** The name under which an address stands in a table: unquoted, its last "@" ends the local part. */
export function addressName(local: string, domain: Domain | Literal): string {
  return `${localKey(local)}@${domain}`;
}

export function addressKey(address: Address): RecipientKey & SenderKey {
  return keyOf("address", addressName(address.local, address.domain));
}

export function domainKey(domain: Domain | Literal): RecipientKey & SenderKey {
  return keyOf("domain", domain);
}

export function suffixKey(suffix: Domain | typeof everyDomain): RecipientKey & SenderKey {
  return keyOf("suffix", suffix);
}

/** For names that have been parsed. A key of one sort becomes one of the other by this alone. */
export function keyOf(kind: KeyKind, name: string): RecipientKey & SenderKey {
  return `${kind}:${name}` as RecipientKey & SenderKey;
}

/** The parts of a key that has been parsed before. */
export function keyParts(key: RecipientKey | SenderKey): KeyParts {
  const colon = key.indexOf(":");
  return { kind: key.slice(0, colon) as KeyKind, name: key.slice(colon + 1) };
}

/** The domain, literal or suffix that a key lies under: what delegation looks at. */
export function keyDomain(key: RecipientKey | SenderKey): string {
  const { kind, name } = keyParts(key);
  return kind === "address" ? name.slice(name.lastIndexOf("@") + 1) : name;
}

/** Canonical text only: what `keyOf` would have made. Undefined for everything else. */
export function parseKey(text: string): (RecipientKey & SenderKey) | undefined {
  const colon = text.indexOf(":");
  const name = text.slice(colon + 1);
  switch (text.slice(0, colon)) {
    case "address":
      return isAddressName(name) ? keyOf("address", name) : undefined;
    case "domain":
      return isDomainName(name) ? keyOf("domain", name) : undefined;
    case "suffix":
      return isSuffixName(name) ? keyOf("suffix", name) : undefined;
    default:
      return undefined;
  }
}

export function isDomainName(name: string): boolean {
  return name.startsWith("[") ? parseLiteral(name) === name : isCanonicalShape(name);
}

export function isSuffixName(name: string): boolean {
  return name === everyDomain || isCanonicalShape(name);
}

const control = /\p{Cc}/u;

export function isAddressName(name: string): boolean {
  const at = name.lastIndexOf("@");
  if (at < 1 || !isDomainName(name.slice(at + 1))) return false;
  const local = name.slice(0, at);
  return localKey(local) === local && !control.test(local);
}
