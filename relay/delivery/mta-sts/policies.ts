/**
 * Which MTA-STS policy holds for a domain now (RFC 8461 sections 3.3, 5.1): asks DNS for its id, fetches what is
 * new, keeps it for as long as it says, through restarts. Loop: owns when to fetch. A policy once known holds until
 * it ends, whatever DNS and the policy's host say meanwhile, or fail to say.
 */
import { hostlessNetworks, networkSet } from "../../../routing/network.ts";
import { createHttps, type HttpsAnswer } from "../https.ts";
import type { DeliveryOptions } from "../options.ts";
import { parsePolicy, policyId, type StsPolicy } from "./policy.ts";
import { type PolicyFiles, policyFiles, type StoredPolicy } from "./policy-files.ts";

export type StsOptions = {
  /** Where policies are kept. */
  readonly directory: string;
  /** 443, except in tests. */
  readonly port?: number;
  /** Epoch ms. */
  readonly now?: () => number;
};

const policiesMax = 5000;
/** Section 3.3. */
const policyBytesMax = 64 * 1024;
const fetchMsMax = 15_000;
/** Section 3.3: not before that is a host asked again that has failed. */
const againMs = 300_000;
/** Section 3.3 wants a policy asked for again well before its end; then it holds from that day on. */
const refreshMsMax = 86_400_000;

export class StsPolicies {
  private readonly options: StsOptions;
  private readonly delivery: DeliveryOptions;
  private readonly https: ReturnType<typeof createHttps>;
  private readonly isAllowed: (address: string) => boolean;
  private readonly files: PolicyFiles;
  /** The least recently used first. */
  private readonly known = new Map<string, StoredPolicy>();
  private readonly fetching = new Map<string, Promise<void>>();
  /** Until when a domain is not asked again. */
  private readonly failed = new Map<string, number>();

  constructor(options: StsOptions, delivery: DeliveryOptions) {
    this.options = options;
    this.delivery = delivery;
    this.https = createHttps(delivery.resolver);
    const noExchangers = networkSet(delivery.mxDeniedNetworks ?? hostlessNetworks);
    const denied = networkSet(delivery.deniedNetworks ?? []);
    this.isAllowed = (address) => !noExchangers.has(address) && !denied.has(address);
    this.files = policyFiles(options.directory);
    for (const stored of this.files.read()) this.keep(stored);
  }

  /** Undefined: none, or one that asks for nothing. */
  async of(domain: string): Promise<StsPolicy | undefined> {
    const answer = await this.delivery.resolver.txt(`_mta-sts.${domain}`);
    const id = answer.kind === "records" ? policyId(answer.texts) : undefined;
    const before = this.valid(domain);
    if (id !== undefined && before?.id !== id) await this.fetch(domain, id);
    else if (id !== undefined && before !== undefined && this.isDue(before)) {
      void this.fetch(domain, id);
    }
    const policy = this.valid(domain)?.policy;
    return policy?.mode === "none" ? undefined : policy;
  }

  private valid(domain: string): StoredPolicy | undefined {
    const stored = this.known.get(domain);
    if (stored === undefined) return undefined;
    this.known.delete(domain);
    if (this.now() >= stored.fetchedAtMs + stored.policy.maxAgeMs) {
      this.files.remove(domain);
      return undefined;
    }
    this.known.set(domain, stored);
    return stored;
  }

  private isDue({ fetchedAtMs, policy }: StoredPolicy): boolean {
    return this.now() >= fetchedAtMs + Math.min(refreshMsMax, policy.maxAgeMs / 2);
  }

  private now(): number {
    return this.options.now?.() ?? Date.now();
  }

  /** One at a time for each domain. */
  private async fetch(domain: string, id: string): Promise<void> {
    if (this.now() < (this.failed.get(domain) ?? 0)) return;
    let under = this.fetching.get(domain);
    if (under === undefined) {
      under = this.fetchNow(domain, id).finally(() => this.fetching.delete(domain));
      this.fetching.set(domain, under);
    }
    await under;
  }

  private async fetchNow(domain: string, id: string): Promise<void> {
    const { port = 443 } = this.options;
    const answer = await this.https({
      url: new URL(`https://mta-sts.${domain}:${port}/.well-known/mta-sts.txt`),
      method: "GET",
      isAllowed: this.isAllowed,
      search: false,
      bytesMax: policyBytesMax,
      msMax: fetchMsMax,
    });
    const policy = policyIn(answer);
    this.failed.delete(domain);
    if (typeof policy === "string") {
      this.fail(domain, policy);
      return;
    }
    const stored = { domain, id, policy, fetchedAtMs: this.now() };
    this.keep(stored);
    this.files.write(stored);
    this.delivery.events?.sts?.({ domain, result: "fetched", text: policy.mode });
  }

  private fail(domain: string, text: string): void {
    this.failed.set(domain, this.now() + againMs);
    const oldest = this.failed.keys().next();
    if (this.failed.size > policiesMax && !oldest.done) this.failed.delete(oldest.value);
    this.delivery.events?.sts?.({ domain, result: "failed", text });
  }

  private keep(stored: StoredPolicy): void {
    this.known.delete(stored.domain);
    this.known.set(stored.domain, stored);
    const oldest = this.known.keys().next();
    if (this.known.size <= policiesMax || oldest.done) return;
    this.known.delete(oldest.value);
    this.files.remove(oldest.value);
  }
}

/** The policy, or why there is none. */
function policyIn(answer: HttpsAnswer): StsPolicy | string {
  if (answer.kind === "failed") return answer.why;
  const { status, mediaType, body } = answer;
  if (status !== 200) return `its host answers ${status}`;
  if (mediaType !== "text/plain") return `its host answers ${mediaType || "no media type"}`;
  return parsePolicy(body) ?? "its policy is none of RFC 8461";
}
