/** Authentication, put together from its settings: the users' file, the cluster's tokens. Wiring only. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Api } from "../kube/api.ts";
import { type Authenticator, createAuthenticator } from "./auth/authenticator.ts";
import { createTokens } from "./auth/tokens.ts";
import { watchUsers } from "./auth/user-file.ts";
import type { Config } from "./config/config.ts";
import type { RelayState } from "./facts.ts";

export type AuthenticationOptions = {
  readonly settings: Config["authentication"];
  readonly closers: AsyncDisposableStack;
  readonly state: Pick<RelayState, "problems">;
  /** Opens the API server where tokens are served. */
  readonly clusterApi: () => Promise<Api>;
};

/** Undefined: nobody can authenticate. Throws, with words, where the users' file cannot be used. */
export async function prepareAuthentication(
  options: AuthenticationOptions,
): Promise<Authenticator | undefined> {
  const { settings, closers, state, clusterApi } = options;
  const { usersFile, serviceAccounts } = settings;
  if (usersFile === undefined && serviceAccounts === undefined) return undefined;
  const file =
    usersFile &&
    (await watchUsers(usersFile, {
      swapped: () => state.problems.set("users", []),
      problem: (text) => state.problems.set("users", [{ where: "users", text }]),
    }));
  if (file) closers.defer(() => file.stop());
  const now = Date.now;
  return createAuthenticator({
    users: file ? () => file.users : undefined,
    tokens:
      serviceAccounts &&
      createTokens({ api: await clusterApi(), audience: serviceAccounts.audience, now }),
    now,
    sleep: async (ms) => await sleep(ms),
  });
}
