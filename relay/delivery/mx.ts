/**
 * Which hosts take a domain's mail, from what DNS said about it (RFC 5321 section 5.1, RFC 7505).
 * Pure: an answer in, hosts or a fate out; never a wider route where there is doubt.
 */
import { isIP } from "node:net";
import type { Host } from "../../routing/route.ts";
import { deferred, failed, type Trouble } from "./reply.ts";

type MxRecord = { readonly exchange: string; readonly preference: number };

export type MxAnswer =
  | { readonly kind: "records"; readonly records: readonly MxRecord[] }
  /** The domain exists and has no MX record. */
  | { readonly kind: "none" }
  /** NXDOMAIN: there is no such name. */
  | { readonly kind: "nxdomain" }
  /** SERVFAIL, REFUSED or silence: nobody knows. */
  | { readonly kind: "unanswered"; readonly reason: string };

export type Exchangers =
  | { readonly kind: "hosts"; readonly hosts: readonly Host[]; readonly implicit: boolean }
  | { readonly kind: "trouble"; readonly trouble: Trouble };

export type MxContext = {
  readonly domain: string;
  readonly port: number;
  /** Our own names, lower case. */
  readonly ownNames: readonly string[];
};

/** The hosts carry the preference as priority; `orderHosts` draws among equals. */
export function chooseExchangers(answer: MxAnswer, context: MxContext): Exchangers {
  const { domain, port } = context;
  switch (answer.kind) {
    case "records":
      return fromRecords(answer.records, context);
    case "none":
      if (context.ownNames.includes(domain)) return trouble(loop(domain));
      return { kind: "hosts", hosts: [host(domain, 0, port)], implicit: true };
    case "nxdomain":
      return trouble(failed(550, "5.1.2", `there is no domain ${domain}`));
    case "unanswered": {
      const text = `DNS gave no answer about ${domain}: ${answer.reason}`;
      return trouble(deferred("dns", "4.4.3", text));
    }
  }
}

function fromRecords(records: readonly MxRecord[], context: MxContext): Exchangers {
  const { domain, port, ownNames } = context;
  const named = records
    .map((record) => ({ ...record, exchange: canonical(record.exchange) }))
    .filter(({ exchange }) => exchange !== "");
  if (named.length === 0 && records.length > 0) {
    return trouble(failed(556, "5.1.10", `the domain ${domain} takes no mail (null MX)`));
  }
  // RFC 5321 section 5.1: ourselves in the list drops us and all that are not nearer than we are.
  const own = named.filter(({ exchange }) => ownNames.includes(exchange));
  const bound = Math.min(...own.map(({ preference }) => preference), Number.POSITIVE_INFINITY);
  const nearer = named.filter(({ preference }) => preference < bound);
  if (nearer.length === 0 && own.length > 0) return trouble(loop(domain));
  const usable = nearer.filter(({ exchange }) => isIP(exchange) === 0);
  if (usable.length === 0) {
    return trouble(failed(550, "5.4.4", `no MX record of ${domain} names a host`));
  }
  const hosts = usable.map(({ exchange, preference }) => host(exchange, preference, port));
  return { kind: "hosts", hosts, implicit: false };
}

function loop(domain: string): Trouble {
  return failed(554, "5.4.6", `mail for ${domain} loops back to this system`);
}

function host(name: string, preference: number, port: number): Host {
  return { host: name, port, priority: preference, weight: 1 };
}

function canonical(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}

function trouble(value: Trouble): Exchangers {
  return { kind: "trouble", trouble: value };
}
