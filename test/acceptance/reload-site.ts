/** A relay on route files that change under it, and the hosts that its mail goes to. */
import { join } from "node:path";
import type { TestContext } from "node:test";
import {
  eventually,
  type ProcessOptions,
  type RelayProcess,
  relayProcess,
} from "../ledger/relay-process.ts";
import { idIn, send } from "./client.ts";
import { admin, drained, type Hosts, logged, startHosts } from "./hosts.ts";

export type Site = { readonly hosts: Hosts; readonly relay: RelayProcess };

/** A relay that has not been started, and hosts. */
export async function prepare(
  context: TestContext,
  names: readonly string[],
  options: ProcessOptions = {},
): Promise<Site> {
  const hosts = await startHosts(names);
  const relay = relayProcess(options);
  context.after(async () => {
    await relay.close();
    await hosts.close();
  });
  return { hosts, relay };
}

/** Does something to the files and waits for the table that comes of it. */
export async function swap(relay: RelayProcess, change: () => void): Promise<void> {
  const before = logged(relay, "table").length;
  change();
  const changed = (): boolean => logged(relay, "table").length > before;
  await eventually(changed, { msMax: 10_000, what: "a new table is in force" });
}

export async function untilReadyz(relay: RelayProcess, wanted: RegExp): Promise<string> {
  let body = "";
  const says = async (): Promise<boolean> => {
    body = (await admin(relay, "/readyz")).body;
    return wanted.test(body);
  };
  await eventually(says, { msMax: 10_000, what: `/readyz says ${wanted}` }).catch((error) => {
    throw new Error(`${error.message}, but: ${body}`, { cause: error });
  });
  return body;
}

export async function hostOf({ hosts, relay }: Site, to: string): Promise<string | undefined> {
  hosts.clear();
  const answers = await send(relay.port(), { to: [to] });
  idIn(answers.data);
  await drained(relay);
  return hosts.arrivals.map(({ host }) => host).join(" and ");
}

export const fileOf = (relay: RelayProcess, name: string): string =>
  join(relay.directory, "routes", name);

export async function metricsOf(relay: RelayProcess): Promise<string> {
  return (await admin(relay, "/metrics")).body;
}
