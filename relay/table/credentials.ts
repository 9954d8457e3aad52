/** The credentials that routes name, by Secret and version: a version that is not here is not guessed. */
import type { CredentialRef } from "../../routing/route.ts";
import type { Credential, Credentials } from "../delivery/options.ts";
import type { VersionedCredential } from "./resources.ts";

export class CredentialStore implements Credentials {
  #byName: ReadonlyMap<string, Credential> = new Map();

  get(ref: CredentialRef): Credential | undefined {
    return this.#byName.get(`${ref.secret} ${ref.version}`);
  }

  replace(all: readonly VersionedCredential[]): void {
    this.#byName = new Map(
      all.map(({ secret, version, credential }) => [`${secret} ${version}`, credential]),
    );
  }
}
