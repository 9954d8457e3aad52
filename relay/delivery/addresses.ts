/**
 * The addresses of a hop at which it may be connected to, in the order in which to try them: never our own,
 * and none that the route may not reach. Adapter between resolver and policy; opens nothing.
 */
import {
  alwaysDenied,
  hostlessNetworks,
  isDeniedAddress,
  networkSet,
} from "../../routing/network.ts";
import type { DeliveryOptions, HopLimits } from "./options.ts";
import { isOwn } from "./own.ts";
import { type Hop, isConfigured } from "./policy.ts";
import { interleaved } from "./race.ts";
import { deferred, failed, type Trouble } from "./reply.ts";

export type Addresses = { readonly addresses: readonly string[] } | { readonly trouble: Trouble };

export function createAddressFinder(
  options: DeliveryOptions,
  limits: Pick<HopLimits, "addressesPerHostMax">,
): (hop: Hop) => Promise<Addresses> {
  const { random = Math.random } = options;
  const noExchangers = networkSet(options.mxDeniedNetworks ?? hostlessNetworks);
  const denied = networkSet([...alwaysDenied, ...(options.deniedNetworks ?? [])]);

  return async function addressesOf(hop) {
    if (options.dial !== undefined) return { addresses: [hop.host] };
    const answer = await options.resolver.addresses(hop.host, { search: hop.via === "hosts" });
    if (answer.kind === "unanswered") {
      const text = `DNS gave no answer about ${hop.host}: ${answer.reason}`;
      return { trouble: deferred("dns", "4.4.3", text) };
    }
    if (answer.kind !== "addresses") return { trouble: nameless(hop) };
    const own = options.ownAddresses?.() ?? [];
    const foreign = answer.addresses.filter((address) => !isOwn({ address, port: hop.port }, own));
    if (foreign.length < answer.addresses.length) {
      return { trouble: failed(554, "5.4.6", `${hop.name} is this system itself: mail loops`) };
    }
    const usable = isConfigured(hop.via)
      ? foreign
      : foreign.filter((address) => !noExchangers.has(address));
    if (usable.length === 0) {
      const text = `${hop.host} has no address that mail may be sent to`;
      return { trouble: failed(550, "5.4.4", text) };
    }
    const { reach } = hop.policy;
    const allowed = usable.filter((address) => !isDeniedAddress(address, { denied, reach }));
    if (allowed.length === 0) return { trouble: outOfReach(hop, usable) };
    return {
      addresses: interleaved(rotated(allowed, random)).slice(0, limits.addressesPerHostMax),
    };
  };
}

/** A configured name that is missing is its owner's mistake; a recipient's domain that is, the sender's. */
function nameless({ host, via }: Hop): Trouble {
  if (isConfigured(via)) return deferred("dns", "4.4.3", `the host ${host} has no address in DNS`);
  if (via === "mx") return failed(550, "5.4.4", `the mail host ${host} has no address in DNS`);
  return failed(550, "5.1.2", `the domain ${host} has neither a mail host nor an address in DNS`);
}

/** The rule's fault, never the sender's: an admin may name the network, or the host may move. */
function outOfReach({ name }: Hop, addresses: readonly string[]): Trouble {
  const where = addresses.slice(0, 3).join(", ");
  const text = `${name} is at ${where}, in a network that this route may not reach (routes.deniedNetworks): use another host, or ask an admin to name the network in targets.hosts of the MailGrant`;
  return deferred("unavailable", "4.3.5", text);
}

/** Any address may come first within its family; the families keep their order. */
function rotated(addresses: readonly string[], random: () => number): readonly string[] {
  if (addresses.length < 2) return addresses;
  const families = Map.groupBy(addresses, (address) => address.includes(":"));
  return [...families.values()].flatMap((family) => {
    const first = Math.floor(random() * family.length);
    return [...family.slice(first), ...family.slice(0, first)];
  });
}
