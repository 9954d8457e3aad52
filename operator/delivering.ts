/**
 * Whether a route's hosts take mail, by what the ready relays say: pure. In words that stay the same while
 * nothing changes, since they become part of a status.
 */
import type { RelayAnswer } from "./programmed.ts";
import type { Served } from "./status.ts";

const shownMax = 3;
const noRelays: Served = {
  status: "Unknown",
  reason: "NoRelays",
  message: "no relay is ready, so none can be asked",
};
const delivering: Served = {
  status: "True",
  reason: "Delivering",
  message: "no relay has mail that its hosts do not take",
};

const uncounted: Served = {
  status: "Unknown",
  reason: "TooManyFailing",
  message: "a relay has more failing routes of this namespace than it keeps apart",
};

export function deliveringOf(route: string, relays: readonly RelayAnswer[]): Served {
  if (relays.length === 0) return noRelays;
  if (!relays.some(({ failing }) => failing.has(route))) {
    const namespace = route.slice(0, route.indexOf("/"));
    return relays.some(({ untold }) => untold?.has(namespace)) ? uncounted : delivering;
  }
  const whys = new Set(relays.flatMap(({ failing }) => failing.get(route) ?? []));
  const shown = [...whys].sort().slice(0, shownMax).join("; ");
  return { status: "False", reason: "HostsFailing", message: `${shown}; mail for it waits` };
}
