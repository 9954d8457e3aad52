/**
 * A relay as mail programs have it for their smart host: one port for those trusted by address, one for logins over
 * TLS, with room for few messages. It knows none of the programs.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { hostsRoute, type RelayProcess, relayProcess } from "../ledger/relay-process.ts";
import { freePort } from "../peers/ports.ts";
import { hashOf } from "./command.ts";
import type { Hosts } from "./hosts.ts";

const certificates = join(import.meta.dirname, "../../relay/listener/fixtures");
/** Of the relay, for the name mx.test; it signs itself. */
export const certificateFile = join(certificates, "mx.cert.pem");
export const keyFile = join(certificates, "mx.key.pem");

/** More must wait at the sender. */
export const messagesMax = 10;
export const recipientsMax = 100;
/** Of the routes that a sender is to come again for. */
export const retry = { initial: "1s", max: "1s" };

export type SenderRelayOptions = {
  /** Of its spool and its users. */
  readonly directory: string;
  /** Who logs in with the password "secret" and may send as everybody. */
  readonly user: string;
  readonly messageBytesMax?: number;
};

/** Not started, and without routes. */
export async function senderRelay(options: SenderRelayOptions): Promise<RelayProcess> {
  const { directory, user, messageBytesMax } = options;
  const usersFile = join(directory, "users.yaml");
  const password = hashOf("secret");
  writeFileSync(
    usersFile,
    `users: [{name: ${user}, password: "${password}", senders: {suffixes: ["."]}}]\n`,
  );
  return relayProcess({
    spool: { directory: join(directory, "spool"), limits: { messagesMax } },
    limits: { recipientsMax, ...(messageBytesMax !== undefined && { messageBytesMax }) },
    tls: { certificates: [{ certificateFile, keyFile }] },
    authentication: { usersFile },
    // Fixed, so that a program that was told of them finds them again after a restart.
    listeners: [
      { name: "smtp", host: "127.0.0.1", port: await freePort() },
      { name: "submission", kind: "submission", host: "127.0.0.1", port: await freePort() },
    ],
  });
}

/** Where reports go, and a domain whose mail is refused with words. */
export function senderRoutes(hosts: Hosts): object[] {
  const reject = { code: 550, status: "5.1.2", message: "ask the postmaster of no.test" };
  return [
    hostsRoute("home", { domains: ["home.test"] }, hosts.target("home"), { retry }),
    hostsRoute("no", { domains: ["no.test"] }, [], { target: { reject } }),
  ];
}
