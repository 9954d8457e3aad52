/** `mailroute drain`: hands everything in a spool that no relay uses any more to the relays that are there. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { errorText } from "../kube/error-text.ts";
import { deleteClaim } from "../relay/claim.ts";
import type { Config } from "../relay/config/config.ts";
import { drainSpool } from "../relay/leaving.ts";
import { createLog } from "../relay/observe/log.ts";
import { readConfig } from "./configuration.ts";
import { type Command, fail, print, UsageError } from "./console.ts";

const requestMsMax = 30_000;

export const drainCommand: Command = {
  name: "drain",
  summary: "hand a spool that no relay uses any more to the relays that are there",
  help: `mailroute drain --config FILE [--spool-owner NAME]

Opens the spool of the configuration as the relay would, takes no mail, and gives every
message to another relay of the installation, with its sender, recipients, age and what
was tried so far: a message is let go when another relay has it on disk. Held messages
stay held. Ends with 0 when the spool is empty, with 1 when something is left.

  --config FILE        a relay's configuration, with its handover settings
  --spool-owner NAME   whose spool it is: the name of the pod that is gone
  --delete-claim NAME  in a cluster: delete this PersistentVolumeClaim once the spool is empty,
                       as the operator's Jobs do`,
  async run(args) {
    const { values } = parseArgs({
      args,
      options: {
        config: { type: "string" },
        "spool-owner": { type: "string" },
        "delete-claim": { type: "string" },
      },
    });
    if (values.config === undefined) throw new UsageError("--config FILE is missing");
    const parsed = await readConfig(values.config, { spoolOwner: values["spool-owner"] });
    if (!parsed.ok)
      return fail(parsed.complaints.map((complaint) => `${values.config}: ${complaint}`));
    const { config } = parsed;
    if (config.handover === undefined)
      return fail([`${values.config}: handover: is missing; it says where the other relays are`]);
    const log = createLog({
      write: (text) => process.stdout.write(text),
      now: Date.now,
      addresses: config.log.addresses,
    });
    try {
      const claim = values["delete-claim"];
      const emptied = claim === undefined ? undefined : async () => await forget(config, claim);
      const { given, left } = await drainSpool({ config, handover: config.handover, log, emptied });
      if (left > 0) return fail([`${given} messages handed over, ${left} left: run it again`]);
      print(`${given} messages handed over, the spool is empty`);
      return 0;
    } catch (error) {
      return fail([errorText(error)]);
    }
  },
};

async function forget({ routes, spool }: Config, claim: string): Promise<void> {
  const remains = await readdir(join(spool.directory, "corrupt")).catch((): string[] => []);
  if (remains.length > 0)
    throw new Error(
      `${remains.length} damaged messages lie in ${spool.directory}/corrupt: look at them, and then delete the claim ${claim}`,
    );
  const namespace = routes.installation?.namespace;
  if (namespace === undefined) throw new Error("--delete-claim needs routes.installation");
  const { connectCluster } = await import("../kube/cluster.ts");
  const api = connectCluster({ requestMsMax });
  try {
    await deleteClaim({ api, namespace, name: claim, now: new Date() });
  } finally {
    await api.close();
  }
}
