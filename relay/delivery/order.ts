/** The order in which the hosts of a target are tried (RFC 2782), rested ones last. Pure. */
import type { Host } from "../../routing/route.ts";

export type OrderOptions = {
  readonly isRested: (host: Host) => boolean;
  /** In [0, 1). */
  readonly random: () => number;
};

/** Lowest priority first, by weighted lot within one; hosts at rest go behind all that are not. */
export function orderHosts(hosts: readonly Host[], options: OrderOptions): readonly Host[] {
  if (hosts.length < 2) return hosts;
  const ordered: Host[] = [];
  const byPriority = Map.groupBy(hosts, (host) => host.priority);
  for (const priority of [...byPriority.keys()].sort((a, b) => a - b)) {
    ordered.push(...byLot(byPriority.get(priority) ?? [], options.random));
  }
  const awake = ordered.filter((host) => !options.isRested(host));
  return awake.length === ordered.length
    ? ordered
    : [...awake, ...ordered.filter(options.isRested)];
}

/** RFC 2782: weight 0 is drawn only where nothing weighs more, or by the smallest of chances. */
function byLot(hosts: readonly Host[], random: () => number): Host[] {
  const left = hosts.toSorted((a, b) => a.weight - b.weight);
  const drawn: Host[] = [];
  while (left.length > 0) {
    const total = left.reduce((sum, host) => sum + host.weight, 0);
    let lot = total === 0 ? Math.floor(random() * left.length) : random() * total;
    const index = left.findIndex((host) => {
      lot -= total === 0 ? 1 : host.weight;
      return lot < 0;
    });
    drawn.push(...left.splice(index === -1 ? left.length - 1 : index, 1));
  }
  return drawn;
}
