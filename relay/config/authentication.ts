/** Who may prove to be whom: the settings of authentication, and what contradicts them. Pure. */
import { z } from "zod";
import type { ListenerEndpoint } from "./listeners.ts";
import { path } from "./spellings.ts";
import type { TlsConfig } from "./tls.ts";

export const authenticationSchema = z.strictObject({
  usersFile: path
    .optional()
    .describe(
      "YAML file of users, with password hashes (`mailroute hash-password`) and whom each may send as; read again when it changes.",
    ),
  serviceAccounts: z
    .strictObject({
      audience: z
        .string()
        .min(1)
        .max(253)
        .default("mailroute")
        .describe("What the tokens must be made out for."),
    })
    .optional()
    .describe(
      "Takes Kubernetes ServiceAccount tokens as passwords; MailGrants say whom they may send as. Needs a cluster.",
    ),
  hideInReceived: z
    .boolean()
    .default(false)
    .describe("Leaves name and address of authenticated clients out of Received lines."),
});

type Settings = z.infer<typeof authenticationSchema>;

export function authenticationContradictions(
  authentication: Settings | undefined,
  tls: TlsConfig | undefined,
  endpoints: readonly Pick<ListenerEndpoint, "name" | "kind">[],
): string[] {
  const { usersFile, serviceAccounts } = authentication ?? {};
  const ways = [usersFile, serviceAccounts, tls?.clientCertificates];
  if (ways.some((way) => way !== undefined)) return [];
  return endpoints
    .filter(({ kind }) => kind !== "smtp")
    .map(
      ({ name }) =>
        `listeners: ${name} is for authenticated clients, and nobody can authenticate; set authentication.usersFile, authentication.serviceAccounts or tls.clientCertificates`,
    );
}
