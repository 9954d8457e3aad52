/** How addresses, ports and paths are written in every part of the configuration. Pure. */
import { z } from "zod";
import { type Block, parseBlock } from "../../routing/network.ts";

export const network = z.string().refine((text) => parseBlock(text) !== undefined, {
  error: "is not an address or network: write it like 192.0.2.0/24 or 2001:db8::/32",
});

export const port = z.int().min(0, "must be 0 to 65535").max(65_535, "must be 0 to 65535");

export const path = z.string().min(1, "must name a path").max(4096);

/** Whether every address of `inner` is in `outer`; false where one of them is no network. */
export function isWithin(inner: string, outer: string): boolean {
  const [small, large] = [parseBlock(inner), parseBlock(outer)];
  if (small === undefined || large === undefined || small.bits !== large.bits) return false;
  return (
    small.prefix >= large.prefix && masked(small, large.prefix) === masked(large, large.prefix)
  );
}

function masked({ bits, first }: Block, prefix: number): bigint {
  return first >> BigInt(bits - prefix);
}
