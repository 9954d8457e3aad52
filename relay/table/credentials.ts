/** The credentials that routes name, by Secret and version: a version that is not here is not guessed. */
import type { CredentialRef } from "../../routing/route.ts";
import { type RouteTable, routesOf, signersIn } from "../../routing/table.ts";
import type { Credential, Credentials } from "../delivery/options.ts";
import type { VersionedCredential } from "./resources.ts";

export class CredentialStore implements Credentials {
  /** By where they came from, then by Secret and version. */
  readonly #sources = new Map<string, ReadonlyMap<string, Credential>>();

  get(ref: CredentialRef): Credential | undefined {
    const name = nameOf(ref);
    for (const source of this.#sources.values()) {
      const found = source.get(name);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** All that `source` holds now; what it held before goes. */
  replace(all: readonly VersionedCredential[], source = ""): void {
    const named = all.map((each) => [nameOf(each), each.credential] as const);
    this.#sources.set(source, new Map(named));
  }

  /** Those that the table names and that are not here. */
  missing(table: RouteTable): readonly CredentialRef[] {
    const missing: CredentialRef[] = [];
    const look = (ref: CredentialRef | undefined): void => {
      if (ref !== undefined && this.get(ref) === undefined) missing.push(ref);
    };
    // Over ten thousand routes in one go, of which most name none: it must not make anything.
    for (const { tls, auth } of routesOf(table)) {
      look(tls.ca);
      look(tls.clientCertificate);
      look(auth?.credential);
    }
    for (const { key } of signersIn(table)) look(key);
    return missing;
  }
}

function nameOf({ secret, version }: CredentialRef): string {
  return `${secret} ${version}`;
}
