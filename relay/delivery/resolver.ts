/**
 * DNS by c-ares (never `dns.lookup`, whose threads also carry fsync): MX, SRV, TXT, A and AAAA with a cache that
 * keeps to their TTLs. The only file that knows c-ares' error codes. Answers are values; it never
 * rejects, and decides nothing about mail.
 */
import { Resolver } from "node:dns/promises";
import { isIP } from "node:net";
import type { MxAnswer } from "./mx.ts";
import { type Kept, NameCache } from "./name-cache.ts";
import type { SrvAnswer } from "./srv.ts";

type AddressAnswer =
  | { readonly kind: "addresses"; readonly addresses: readonly string[] }
  | { readonly kind: "none" }
  | { readonly kind: "nxdomain" }
  | { readonly kind: "unanswered"; readonly reason: string };

type TxtAnswer =
  /** Each record's strings joined. */
  { readonly kind: "records"; readonly texts: readonly string[] } | Refusal;

export interface NameResolver {
  /** By the name of SRV records, "_smtp._tcp.corp.example". */
  srv(service: string): Promise<SrvAnswer>;
  mx(domain: string): Promise<MxAnswer>;
  txt(name: string): Promise<TxtAnswer>;
  /** IPv4 before IPv6. `search`: also under the search domains, for names that people configured. */
  addresses(host: string, options?: { readonly search: boolean }): Promise<AddressAnswer>;
  /** Ends look-ups under way. */
  close(): void;
}

export type ResolverOptions = {
  /** "10.0.0.10" or "127.0.0.1:5353"; default: the system's. */
  readonly servers?: readonly string[];
  readonly timeoutMs?: number;
  readonly tries?: number;
  /** As in resolv.conf, for host names with fewer than 5 dots that do not exist as they are. */
  readonly searchDomains?: readonly string[];
  readonly cacheEntriesMax?: number;
  readonly now?: () => number;
};

/** c-ares tells no TTL of MX and SRV records. */
const recordsMsMax = 60_000;
const txtMsMax = 60_000;
const addressMsMax = 3_600_000;
const negativeMs = 15_000;
const unansweredMs = 5_000;
const searchDots = 5;
const loopback: AddressAnswer = { kind: "addresses", addresses: ["127.0.0.1", "::1"] };

type Found = { readonly addresses: readonly { address: string; ttl: number }[] };
type Lookup = Found | Exclude<AddressAnswer, { kind: "addresses" }>;

/** Throws a TypeError where a server is no address. */
export function createResolver(options: ResolverOptions = {}): NameResolver {
  const { timeoutMs = 5_000, tries = 2, cacheEntriesMax = 20_000 } = options;
  const { now = () => performance.now(), searchDomains = [] } = options;
  const dns = new Resolver({ timeout: timeoutMs, tries });
  if (options.servers !== undefined) dns.setServers([...options.servers]);
  const mxCache = new NameCache<MxAnswer>({ entriesMax: cacheEntriesMax, now });
  const srvCache = new NameCache<SrvAnswer>({ entriesMax: cacheEntriesMax, now });
  const cache = new NameCache<AddressAnswer>({ entriesMax: cacheEntriesMax, now });
  const txtCache = new NameCache<TxtAnswer>({ entriesMax: cacheEntriesMax, now });
  const one = (host: string) => cache.get(host, (name) => lookUpAddresses(dns, name));

  async function searched(host: string): Promise<AddressAnswer> {
    const given = await one(host);
    if (given.kind !== "nxdomain" || host.split(".").length > searchDots) return given;
    for (const domain of searchDomains) {
      const answer = await one(`${host}.${domain}`);
      if (answer.kind !== "nxdomain") return answer;
    }
    return given;
  }

  return {
    srv: async (service) => await srvCache.get(service, (name) => lookUpSrv(dns, name)),
    mx: async (domain) => await mxCache.get(domain, (name) => lookUpMx(dns, name)),
    txt: async (text) => await txtCache.get(text, (name) => lookUpTxt(dns, name)),
    async addresses(host, how) {
      if (isIP(host) !== 0) return { kind: "addresses", addresses: [host] };
      if (host === "localhost") return loopback;
      return how?.search ? await searched(host) : await one(host);
    },
    close: () => dns.cancel(),
  };
}

async function lookUpMx(dns: Resolver, domain: string): Promise<Kept<MxAnswer>> {
  try {
    const found = await dns.resolveMx(domain);
    const records = found.map(({ exchange, priority }) => ({ exchange, preference: priority }));
    if (records.length === 0) return { value: { kind: "none" }, ttlMs: negativeMs };
    return { value: { kind: "records", records }, ttlMs: recordsMsMax };
  } catch (error) {
    return keptRefusal(refusal(error));
  }
}

async function lookUpSrv(dns: Resolver, service: string): Promise<Kept<SrvAnswer>> {
  try {
    const records = (await dns.resolveSrv(service)).map(({ name, ...each }) => ({
      ...each,
      host: name,
    }));
    if (records.length === 0) return { value: { kind: "none" }, ttlMs: negativeMs };
    return { value: { kind: "records", records }, ttlMs: recordsMsMax };
  } catch (error) {
    return keptRefusal(refusal(error));
  }
}

async function lookUpTxt(dns: Resolver, name: string): Promise<Kept<TxtAnswer>> {
  try {
    const texts = (await dns.resolveTxt(name)).map((strings) => strings.join(""));
    if (texts.length === 0) return { value: { kind: "none" }, ttlMs: negativeMs };
    return { value: { kind: "records", texts }, ttlMs: txtMsMax };
  } catch (error) {
    return keptRefusal(refusal(error));
  }
}

/** Both families at once; one that is not answered never hides the other. */
async function lookUpAddresses(dns: Resolver, host: string): Promise<Kept<AddressAnswer>> {
  const [four, six] = await Promise.all([
    lookUp(dns.resolve4(host, { ttl: true })),
    lookUp(dns.resolve6(host, { ttl: true })),
  ]);
  const found = [four, six].flatMap((answer) => ("addresses" in answer ? answer.addresses : []));
  if (found.length > 0) {
    const ttlMs = Math.min(addressMsMax, ...found.map(({ ttl }) => ttl * 1000));
    const partial = [four, six].some((answer) => "kind" in answer && answer.kind === "unanswered");
    const addresses = [...new Set(found.map(({ address }) => address))];
    const value: AddressAnswer = { kind: "addresses", addresses };
    return { value, ttlMs: partial ? Math.min(ttlMs, unansweredMs) : ttlMs };
  }
  const refusals = [four, six].filter((answer) => "kind" in answer);
  const order = ["unanswered", "none", "nxdomain"] as const;
  const kind = order.find((wanted) => refusals.some((answer) => answer.kind === wanted));
  return keptRefusal(refusals.find((answer) => answer.kind === kind) ?? { kind: "none" });
}

async function lookUp(query: Promise<{ address: string; ttl: number }[]>): Promise<Lookup> {
  try {
    const addresses = await query;
    return addresses.length === 0 ? { kind: "none" } : { addresses };
  } catch (error) {
    return refusal(error);
  }
}

type Refusal = Exclude<AddressAnswer, { kind: "addresses" }>;

function keptRefusal(value: Refusal): Kept<Refusal> {
  return { value, ttlMs: value.kind === "unanswered" ? unansweredMs : negativeMs };
}

/** Whatever is not a clear "no" is no answer: a DNS time-out never bounces a message. */
function refusal(error: unknown): Refusal {
  const code = error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? "") : "";
  if (code === "ENOTFOUND") return { kind: "nxdomain" };
  if (code === "ENODATA") return { kind: "none" };
  if (code === "EBADNAME") return { kind: "none" };
  return { kind: "unanswered", reason: code === "" ? String(error) : code };
}
