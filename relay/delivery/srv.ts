/**
 * Which hosts a route's SRV records mean (RFC 2782), from what DNS said about them. Pure. That a name which
 * a route gives is missing or empty is its owner's mistake: the mail waits, and the sender hears nothing.
 */
import { parseDomain } from "../../routing/domain.ts";
import type { Host } from "../../routing/route.ts";
import { deferred, type Trouble } from "./reply.ts";

export type SrvAnswer =
  | { readonly kind: "records"; readonly records: readonly Host[] }
  | { readonly kind: "none" }
  | { readonly kind: "nxdomain" }
  | { readonly kind: "unanswered"; readonly reason: string };

export type Servers = { readonly hosts: readonly Host[] } | { readonly trouble: Trouble };

const recordsMax = 32;

/** Priority and weight are the records' own, for `orderHosts`. */
export function chooseServers(answer: SrvAnswer, service: string): Servers {
  if (answer.kind === "unanswered") {
    const text = `DNS gave no answer about ${service}: ${answer.reason}`;
    return { trouble: deferred("dns", "4.4.3", text) };
  }
  if (answer.kind !== "records") {
    return { trouble: deferred("dns", "4.4.3", `there are no SRV records ${service}`) };
  }
  // "." as the only target: the service is decidedly not there.
  const hosts = answer.records.slice(0, recordsMax).flatMap((record) => {
    const host = parseDomain(record.host);
    return host === undefined || record.port === 0 ? [] : [{ ...record, host }];
  });
  if (hosts.length > 0) return { hosts };
  return { trouble: deferred("dns", "4.4.4", `the SRV records ${service} name no host`) };
}
