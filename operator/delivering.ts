/**
 * Whether a route's hosts take mail, by what the ready relays say: pure. In words that stay the same while
 * nothing changes, since they become part of a status.
 */
import type { RelayAnswer } from "./programmed.ts";
import type { Served } from "./status.ts";

const shownMax = 3;

export function deliveringOf(route: string, relays: readonly RelayAnswer[]): Served {
  if (relays.length === 0) {
    const message = "no relay is ready, so none can be asked";
    return { status: "Unknown", reason: "NoRelays", message };
  }
  const whys = new Set(relays.flatMap(({ failing }) => failing.get(route) ?? []));
  if (whys.size === 0) {
    const message = "no relay has mail that its hosts do not take";
    return { status: "True", reason: "Delivering", message };
  }
  const shown = [...whys].sort().slice(0, shownMax).join("; ");
  return { status: "False", reason: "HostsFailing", message: `${shown}; mail for it waits` };
}
