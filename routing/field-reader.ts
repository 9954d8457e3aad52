/**
 * Reads the fields of a resource that its schema has accepted: domains, hosts, keys, durations. Keeps
 * every issue (path and mend) instead of stopping at the first one, and never throws.
 */
import type * as z from "zod";
import { parseAddress } from "./address.ts";
import { type Domain, parseDomain, parseIp, parseLiteral, parseService } from "./domain.ts";
import {
  addressKey,
  domainKey,
  everyDomain,
  type RecipientKey,
  type SenderKey,
  suffixKey,
} from "./key.ts";
import { limits } from "./limits.ts";
import type { MailRouteLists, MailRouteSpec } from "./mail-route.ts";
import { parseBlock } from "./network.ts";
import type { Retry } from "./route.ts";
import { durationMs } from "./schema.ts";
import { type TokenHost, tokenHostOf } from "./token-host.ts";

export type Issue = { readonly path: string; readonly message: string };

export const issuesMax = 20;

export function schemaIssues(error: z.ZodError): readonly Issue[] {
  return error.issues
    .slice(0, issuesMax)
    .map(({ path, message }) => ({ path: pathText(path), message }));
}

function pathText(path: readonly PropertyKey[]): string {
  const text = path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`));
  return text.join("").replace(/^\./, "") || "(the resource)";
}

/** Parses one field after the other and keeps what was wrong. */
export class FieldReader {
  readonly issues: Issue[] = [];

  keys(lists: MailRouteLists, path: string): readonly (RecipientKey & SenderKey)[] {
    const keys = new Set<RecipientKey & SenderKey>();
    for (const [kind, read] of keyReaders) {
      for (const [index, text] of (lists[kind] ?? []).entries()) {
        const key = typeof text === "string" ? read(text) : undefined;
        if (key !== undefined) keys.add(key);
        else this.refuse(`${path}.${kind}[${index}]`, `${shown(text)} ${mends[kind]}`);
      }
    }
    return [...keys];
  }

  domain(text: string | undefined, path: string): Domain | undefined {
    const domain = text === undefined ? undefined : parseDomain(text, { utf8: true });
    if (text !== undefined && domain === undefined) {
      this.refuse(path, `${shown(text)} is not a domain name: write one such as mx.corp.example`);
    }
    return domain;
  }

  host(text: string, path: string): string {
    const host = parseIp(text) ?? parseDomain(text, { utf8: true });
    if (host !== undefined) return host;
    this.refuse(path, `${shown(text)} is not a host name or an IP address without brackets`);
    return "";
  }

  /** A host, or the name of the SRV records that say which. */
  nextHop(text: string, path: string): string {
    if (!text.startsWith("_")) return this.host(text, path);
    const service = parseService(text);
    if (service !== undefined) return service;
    this.refuse(path, `${shown(text)} is no name of SRV records such as _smtp._tcp.corp.example`);
    return "";
  }

  /** A name, "*", "*.name", the name of SRV records, an address or a CIDR block, in canonical form. */
  hostPattern(text: string, path: string): string {
    if (text === "*") return text;
    if (text.startsWith("*.")) {
      const rest = parseDomain(text.slice(2), { utf8: true });
      if (rest !== undefined) return `*.${rest}`;
    } else if (text.includes("/")) {
      if (parseBlock(text) !== undefined) return text.toLowerCase();
    } else return this.nextHop(text, path);
    this.refuse(path, `${shown(text)} is none of: a host name, "*", "*.name", address, CIDR block`);
    return "";
  }

  retry(spec: MailRouteSpec["retry"]): Retry {
    const retry = {
      initialMs: durationMs(spec.initial),
      maxMs: durationMs(spec.max),
      expireAfterMs: durationMs(spec.expireAfter),
      delayWarningAfterMs: durationMs(spec.delayWarningAfter),
    };
    const over = (["initial", "max", "expireAfter", "delayWarningAfter"] as const).find(
      (field) => durationMs(spec[field]) > limits.retryMsMax,
    );
    if (over !== undefined) this.refuse(`spec.retry.${over}`, "must be at most 30d");
    if (retry.initialMs > retry.maxMs) {
      this.refuse("spec.retry.initial", `must not be longer than max (${spec.max})`);
    }
    if (retry.maxMs > retry.expireAfterMs) {
      this.refuse("spec.retry.max", `must not be longer than expireAfter (${spec.expireAfter})`);
    }
    return retry;
  }

  tokenHost(text: string | undefined): TokenHost | undefined {
    if (text === undefined) return undefined;
    const host = tokenHostOf(text);
    if (host === undefined) {
      const mend = "names no host: write it like https://login.corp.example/token";
      this.refuse("spec.auth.oauth2.tokenURL", `${shown(text)} ${mend}`);
    }
    return host;
  }

  refuse(path: string, message: string): void {
    this.issues.push({ path, message });
  }
}

const keyReaders = [
  ["suffixes", parseSuffixKey],
  ["domains", parseDomainKey],
  ["addresses", parseAddressKey],
] as const;

const mends = {
  suffixes: 'is not a domain name: write one such as corp.example, or "." for every domain',
  domains: "is neither a domain name nor an address literal: write hq.corp.example or [192.0.2.1]",
  addresses: "is not a mailbox: write one such as ceo@corp.example",
};

export function parseSuffixKey(text: string): (RecipientKey & SenderKey) | undefined {
  if (text === everyDomain) return suffixKey(everyDomain);
  const domain = parseDomain(text, { utf8: true });
  return domain && suffixKey(domain);
}

export function parseDomainKey(text: string): (RecipientKey & SenderKey) | undefined {
  const domain = text.startsWith("[") ? parseLiteral(text) : parseDomain(text, { utf8: true });
  return domain && domainKey(domain);
}

export function parseAddressKey(text: string): (RecipientKey & SenderKey) | undefined {
  const address = parseAddress(text, { utf8: true });
  return address && !address.isLiteral ? addressKey(address) : undefined;
}

/** The keys of a resource that is otherwise wrong: they stay its own, as far as they can be read. */
export function salvageKeys(lists: unknown): readonly (RecipientKey & SenderKey)[] {
  if (typeof lists !== "object" || lists === null) return [];
  const list = (kind: string): readonly unknown[] => {
    const value: unknown = Reflect.get(lists, kind);
    return Array.isArray(value) ? value.slice(0, limits.suffixesMax) : [];
  };
  return new FieldReader().keys(
    { suffixes: list("suffixes"), domains: list("domains"), addresses: list("addresses") },
    "",
  );
}

function shown(text: unknown): string {
  const json = typeof text === "string" ? JSON.stringify(text) : `a value of type ${typeof text}`;
  return json.length > 80 ? `${json.slice(0, 77)}...` : json;
}
