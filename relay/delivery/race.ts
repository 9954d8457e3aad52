/**
 * The addresses of one host, connected to by turns (RFC 8305 section 5, "happy eyeballs"): the next begins
 * when the one before has failed or is silent for a moment, the first that connects wins, and the others
 * are closed. Owns the order of attempts and their timer; what is said on the winner is not its matter.
 */
import type { Socket } from "node:net";
import type { Trouble } from "./reply.ts";

export type Connected = { readonly socket: Socket } | { readonly trouble: Trouble };

export type Race = {
  /** Must not reject, and must end when the signal says so. */
  readonly connect: (address: string, cutOff: AbortSignal) => Promise<Connected>;
  /** How long an attempt is alone before the next one begins. */
  readonly headStartMs: number;
  readonly cutOff: AbortSignal;
};

export type Raced =
  | { readonly socket: Socket; readonly address: string; readonly left: readonly string[] }
  | { readonly trouble: Trouble };

/** `left`: the addresses that have not failed, without the winner. At least one address is needed. */
export async function firstToConnect(addresses: readonly string[], race: Race): Promise<Raced> {
  const over = new AbortController();
  const cutOff = AbortSignal.any([race.cutOff, over.signal]);
  const failed = new Set<string>();
  return await new Promise((resolve) => {
    let begun = 0;
    let timer: NodeJS.Timeout | undefined;
    const ended = (address: string, result: Connected): void => {
      if (over.signal.aborted) {
        if ("socket" in result) result.socket.destroy();
        return;
      }
      failed.add(address);
      if ("socket" in result) {
        clearTimeout(timer);
        over.abort();
        const left = addresses.filter((one) => !failed.has(one));
        resolve({ socket: result.socket, address, left });
      } else if (begun < addresses.length && !race.cutOff.aborted) begin();
      else if (failed.size === begun) {
        clearTimeout(timer);
        resolve(result);
      }
    };
    const begin = (): void => {
      clearTimeout(timer);
      const address = addresses[begun++] as string;
      if (begun < addresses.length) timer = setTimeout(begin, race.headStartMs);
      void race.connect(address, cutOff).then((result) => ended(address, result));
    };
    begin();
  });
}

/** One of each family in turn, the first one's first (RFC 8305 section 4). */
export function interleaved(addresses: readonly string[]): readonly string[] {
  const families = [...Map.groupBy(addresses, (address) => address.includes(":")).values()];
  const longest = Math.max(0, ...families.map(({ length }) => length));
  const rounds = Array.from({ length: longest }, (_, at) => families.map((family) => family[at]));
  return rounds.flat().filter((address) => address !== undefined);
}
