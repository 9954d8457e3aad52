/**
 * The self-check against source NAT: which listeners see mostly nodes, gateways or balancers where clients should be.
 * Pure: counts what it is told, without a clock. Only who begins a transaction is counted: health checks do not.
 */
import type { NetworkSet } from "../../routing/network.ts";
import type { Origin } from "./trust.ts";

/** So many hidden clients, and more than half of all, are worth a person's attention. */
const hiddenMin = 20;
/** After so many clients of one listener, older ones count half: the check follows changes. */
const clientsMax = 200;

type Counts = { clients: number; hidden: number; finding: string | undefined };

export class HiddenClients {
  readonly #neverTrusted: Pick<NetworkSet, "has">;
  readonly #byListener = new Map<string, Counts>();

  constructor(neverTrusted: Pick<NetworkSet, "has">) {
    this.#neverTrusted = neverTrusted;
  }

  /** Counts a client. A PROXY header has said who the others are. */
  seen({ listener, address, balancer }: Origin): {
    readonly isHidden: boolean;
    readonly isNews: boolean;
  } {
    if (balancer !== undefined) return { isHidden: false, isNews: false };
    const counts = this.#byListener.get(listener) ?? { clients: 0, hidden: 0, finding: undefined };
    this.#byListener.set(listener, counts);
    const isHidden = this.#neverTrusted.has(address);
    counts.clients += 1;
    counts.hidden += Number(isHidden);
    const before = counts.finding;
    if (counts.hidden * 2 <= counts.clients) counts.finding = undefined;
    else if (counts.hidden >= hiddenMin) counts.finding ??= words(counts, address);
    if (counts.clients >= clientsMax) {
      counts.clients /= 2;
      counts.hidden /= 2;
    }
    return { isHidden, isNews: counts.finding !== before };
  }

  /** What a person must mend now: stays as it was when it was found, until it is over. */
  get findings(): readonly { readonly where: string; readonly text: string }[] {
    return [...this.#byListener].flatMap(([listener, { finding }]) =>
      finding === undefined ? [] : [{ where: `listeners.${listener}`, text: finding }],
    );
  }
}

function words({ clients, hidden }: Counts, address: string): string {
  return `${Math.round(hidden)} of the last ${Math.round(clients)} clients came from addresses of nodes, gateways or balancers, like ${address}: source NAT hides who they are, and none of them is trusted by address; set externalTrafficPolicy: Local on the Service, or give the listener proxyProtocol and let the balancer speak it`;
}
