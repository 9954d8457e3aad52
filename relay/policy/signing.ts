/** Who signs a message that goes out: by its author's domain and the way that it takes. Pure. */
import type { Route, Signer } from "../../routing/route.ts";
import { signerFor } from "../../routing/signers.ts";
import type { RouteTable } from "../../routing/table.ts";
import { authorsOf } from "./authors.ts";

export type Outgoing = {
  readonly table: RouteTable;
  readonly route: Route;
  /** By a client who may send as its author; a stranger's mail is nobody's here. */
  readonly trusted: boolean;
  readonly body: Uint8Array;
};

/** Undefined: nobody, and it goes as it is. */
export function signerOf({ table, route, trusted, body }: Outgoing): Signer | undefined {
  const isAsked = route.target.kind === "mx" || route.sign === true;
  if (!table.hasSigners || !isAsked || !trusted) return undefined;
  const authors = authorsOf(body);
  if (!authors.ok) return undefined;
  for (const { domain, isLiteral } of authors.addresses) {
    const signer = isLiteral ? undefined : signerFor(table, domain);
    if (signer !== undefined) return signer;
  }
  return undefined;
}
