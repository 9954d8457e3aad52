/**
 * The hosts that a target means now, in the order in which to try them: the rule's own, the local mail
 * store's, or those that DNS names. Adapter between routes, resolver and order.ts; opens nothing.
 */
import { isService } from "../../routing/domain.ts";
import type { Host, Route } from "../../routing/route.ts";
import { StsPolicies } from "./mta-sts/policies.ts";
import { isListed, type StsPolicy } from "./mta-sts/policy.ts";
import { chooseExchangers } from "./mx.ts";
import type { DeliveryOptions } from "./options.ts";
import { orderHosts } from "./order.ts";
import {
  type Hop,
  hopOf,
  type Policy,
  type PolicyDefaults,
  policyOf,
  underSts,
  type Via,
} from "./policy.ts";
import { deferred, failed, type Trouble } from "./reply.ts";
import { chooseServers } from "./srv.ts";

export type Hops = { readonly hops: readonly Hop[] } | { readonly trouble: Trouble };

export type HopFinderOptions = {
  readonly delivery: DeliveryOptions;
  readonly defaults: Omit<PolicyDefaults, "relays">;
  readonly isRested: (key: string) => boolean;
  readonly random: () => number;
};

/** A route's policy and the hops of its own hosts, worked out once for each number of relays. */
type Known = {
  readonly policy: Policy;
  readonly hops: Map<Host, Hop>;
  readonly relays: number;
};

export class HopFinder {
  private readonly options: HopFinderOptions;
  private readonly known = new WeakMap<Route, Known>();
  private readonly sts: StsPolicies | undefined;

  constructor(options: HopFinderOptions) {
    this.options = options;
    const { delivery } = options;
    this.sts = delivery.sts && new StsPolicies(delivery.sts, delivery);
  }

  async find(route: Route, domain: string): Promise<Hops> {
    const { target } = route;
    const { inbound } = this.options.delivery;
    switch (target.kind) {
      case "hosts":
        return await this.ordered(target.hosts, this.knownOf(route));
      case "inbound": {
        if (inbound === undefined) {
          const text = "this installation was given no mail store (inbound)";
          return { trouble: deferred("unavailable", "4.3.5", text) };
        }
        return await this.ordered(inbound.hosts, this.knownOf(route));
      }
      case "mx":
        return await this.byMx(route, target.domain ?? domain);
      case "reject":
      case "discard":
        throw new TypeError(`nothing to deliver for the target ${target.kind}`);
    }
  }

  policyOf(route: Route): Policy {
    return this.knownOf(route).policy;
  }

  private knownOf(route: Route): Known {
    const { delivery, defaults } = this.options;
    const relays = delivery.relays?.() ?? 1;
    let known = this.known.get(route);
    if (known?.relays !== relays) {
      const policy = policyOf(route, this.protocolOf(route), { ...defaults, relays });
      known = { policy, hops: new Map(), relays };
      this.known.set(route, known);
    }
    return known;
  }

  /** The Internet speaks SMTP, and the mail store what it was said to speak. */
  private protocolOf({ target, protocol }: Route): "SMTP" | "LMTP" {
    if (target.kind === "mx") return "SMTP";
    return target.kind === "inbound"
      ? (this.options.delivery.inbound?.protocol ?? protocol)
      : protocol;
  }

  private async ordered(hosts: readonly Host[], known: Known): Promise<Hops> {
    const hop = (host: Host): Hop => {
      let found = known.hops.get(host);
      if (found === undefined) {
        found = hopOf(host, "hosts", known.policy);
        known.hops.set(host, found);
      }
      return found;
    };
    const hops = this.order(hosts, hop);
    if (!hops.some(({ host }) => isService(host))) return { hops };
    return await this.withServers(hops, known.policy);
  }

  /** With the hosts of SRV records in their place; hosts at rest still go behind all that are not. */
  private async withServers(hops: readonly Hop[], policy: Policy): Promise<Hops> {
    const { delivery, isRested } = this.options;
    const all: Hop[] = [];
    let trouble: Trouble | undefined;
    for (const hop of hops) {
      if (!isService(hop.host) || delivery.dial !== undefined) {
        all.push(hop);
        continue;
      }
      const chosen = chooseServers(await delivery.resolver.srv(hop.host), hop.host);
      if ("trouble" in chosen) trouble ??= chosen.trouble;
      else all.push(...this.order(chosen.hosts, (host) => hopOf(host, "srv", policy)));
    }
    if (all.length === 0 && trouble !== undefined) return { trouble };
    const awake = all.filter(({ key }) => !isRested(key));
    return { hops: [...awake, ...all.filter(({ key }) => isRested(key))] };
  }

  private async byMx(route: Route, domain: string): Promise<Hops> {
    const { delivery } = this.options;
    const port = delivery.outboundPort ?? 25;
    const { policy } = this.knownOf(route);
    if (delivery.dial !== undefined) {
      return { hops: [hopOf({ host: domain, port, priority: 0, weight: 1 }, "implicit", policy)] };
    }
    if (domain.startsWith("[")) {
      return { trouble: failed(550, "5.1.2", `no route to the address literal ${domain}`) };
    }
    const [answer, sts] = await Promise.all([delivery.resolver.mx(domain), this.sts?.of(domain)]);
    const ownNames = [delivery.hostname.toLowerCase(), policy.heloName.toLowerCase()];
    const chosen = chooseExchangers(answer, { domain, port, ownNames });
    if (chosen.kind === "trouble") return { trouble: chosen.trouble };
    const via: Via = chosen.implicit ? "implicit" : "mx";
    if (sts === undefined || sts.mode === "none") {
      return { hops: this.order(chosen.hosts, (host) => hopOf(host, via, policy)) };
    }
    const hosts = this.listed(chosen.hosts, sts, domain);
    if (hosts.length === 0) {
      const text = `no mail host of ${domain} is one that its MTA-STS policy names`;
      return { trouble: deferred("tls", "4.7.5", text) };
    }
    const bound = underSts(policy, sts.mode);
    return { hops: this.order(hosts, (host) => hopOf(host, via, bound)) };
  }

  /** Those that the policy names; under `testing` all of them, and the others are told. */
  private listed(hosts: readonly Host[], sts: StsPolicy, domain: string): readonly Host[] {
    const listed = hosts.filter(({ host }) => isListed(host, sts));
    if (listed.length < hosts.length) {
      const others = hosts.filter((host) => !listed.includes(host)).map(({ host }) => host);
      const text = `${sts.mode}: not named: ${others.join(", ")}`;
      this.options.delivery.events?.sts?.({ domain, result: "unlisted", text });
    }
    return sts.mode === "enforce" ? listed : hosts;
  }

  private order(hosts: readonly Host[], hop: (host: Host) => Hop): readonly Hop[] {
    const { isRested, random } = this.options;
    return orderHosts(hosts, { random, isRested: (host) => isRested(hop(host).key) }).map(hop);
  }
}
