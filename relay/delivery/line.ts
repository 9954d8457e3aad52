/**
 * All connections to one host under one policy, and what waits for them. Pure state; what is done with it is pool.ts's
 * matter.
 */
import { type Allowance, unlimited } from "./allowance.ts";
import type { NextHop } from "./next-hop.ts";
import type { Hop } from "./policy.ts";
import type { Trouble } from "./reply.ts";
import { noRest, type Rest } from "./rest.ts";

export type Acquired = { readonly connection: NextHop } | { readonly trouble: Trouble };

export type Waiter = {
  readonly hop: Hop;
  readonly fresh: boolean;
  readonly resolve: (acquired: Acquired) => void;
};

export type Line = {
  readonly key: string;
  /** The last one is the warmest. */
  readonly idle: NextHop[];
  readonly all: Set<NextHop>;
  /** Connections that are being opened; who aborts one cuts it off. */
  readonly dials: Set<AbortController>;
  readonly waiters: Set<Waiter>;
  /** Fewer than the limits allow while the host refuses more; 1 while it is being probed. */
  ceiling: number;
  raiseAtMs: number;
  rest: Rest;
  /** Less than the limits after complaints that we send too much. */
  allowance: Allowance;
  /** When the next message may begin, and what waits for that. */
  nextAtMs: number;
  spacing: NodeJS.Timeout | undefined;
};

export function freshLine(key: string): Line {
  return {
    ...{
      key,
      idle: [],
      all: new Set<NextHop>(),
      dials: new Set<AbortController>(),
      waiters: new Set<Waiter>(),
    },
    ...{ ceiling: Number.POSITIVE_INFINITY, raiseAtMs: 0, rest: noRest },
    ...{ allowance: unlimited, nextAtMs: 0, spacing: undefined },
  };
}

/** The warmest that still lives; those found dead are dropped. */
export function pickIdle(line: Line, want: "any" | "fresh"): NextHop | undefined {
  for (let at = line.idle.length - 1; at >= 0; at--) {
    const connection = line.idle[at] as NextHop;
    if (want === "fresh" && connection.messages > 0 && connection.usable) continue;
    line.idle.splice(at, 1);
    if (connection.usable) return connection;
    connection.quit();
  }
  return undefined;
}
