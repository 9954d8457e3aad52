/** `mailroute relay`: the relay with a configuration file, until a signal stops it. */
import { parseArgs } from "node:util";
import { errorText } from "../kube/error-text.ts";
import type { Config } from "../relay/config/config.ts";
import { type RelayOptions, startRelay } from "../relay/relay.ts";
import { checkCertificates } from "../relay/tls/certificates.ts";
import { parseBlock } from "../routing/network.ts";
import { bufferedWriter } from "./buffered-writer.ts";
import { readConfig } from "./configuration.ts";
import { type Command, fail, UsageError } from "./console.ts";
import { untilSignal } from "./signals.ts";
import { version } from "./version.ts";

export const relayCommand: Command = {
  name: "relay",
  summary: "run the relay with a configuration file",
  help: `mailroute relay --config FILE

Accepts mail and sends every recipient of every message where the most specific matching
MailRoute says. Runs until it is stopped (SIGTERM, SIGINT): it then takes no more mail,
finishes what is under way, and leaves the rest in the spool for the next start.

  --config FILE        the configuration, YAML; docs/configuration.md lists every setting
  --spool-owner NAME   whose spool it is, in place of spool.owner: a pod's own name, where
                       many relays share one configuration
  --never-trusted A,B  addresses and networks from which nobody is trusted, besides
                       neverTrustedNetworks: those of a pod's node
  --check              only check the configuration and the certificates that it names, say what
                       is wrong, and exit

The log goes to standard output, one JSON object a line. /metrics, /healthz, /readyz and
/revision answer on admin.host:admin.port.`,
  async run(args) {
    const { values } = parseArgs({
      args,
      options: {
        config: { type: "string" },
        "spool-owner": { type: "string" },
        "never-trusted": { type: "string" },
        check: { type: "boolean" },
      },
    });
    if (values.config === undefined) throw new UsageError("--config FILE is missing");
    const parsed = await readConfig(values.config, { spoolOwner: values["spool-owner"] });
    if (!parsed.ok) {
      return fail(parsed.complaints.map((complaint) => `${values.config}: ${complaint}`));
    }
    if (values.check === true) return await checkFiles(values.config, parsed.config);
    const neverTrusted = networksOf("--never-trusted", values["never-trusted"] ?? "");
    return await runRelay({ config: parsed.config, version, delegation: "off", neverTrusted });
  },
};

/** A list with commas; throws UsageError for what is no network. */
function networksOf(flag: string, text: string): readonly string[] {
  const list = text.split(",").filter((each) => each !== "");
  for (const each of list) {
    if (parseBlock(each) === undefined) {
      throw new UsageError(`${flag} ${each}: is not an address or network`);
    }
  }
  return list;
}

/** What the configuration names and only this machine knows; the answer is the exit code. */
async function checkFiles(file: string, { tls }: Config): Promise<number> {
  if (tls === undefined) return 0;
  const { faults, warnings } = await checkCertificates(tls, Date.now());
  const lines = [...faults, ...warnings].map(({ where, text }) => `${file}: ${where}: ${text}`);
  const code = fail(lines);
  return faults.length > 0 ? code : 0;
}

const stopGraceMs = 25_000;

/** Runs a relay until a signal; the answer is the exit code. */
export async function runRelay(options: Omit<RelayOptions, "write">): Promise<number> {
  const output = bufferedWriter((text) => process.stdout.write(text));
  process.stdout.on("error", () => {}); // whoever read the log is gone: mail goes on without him
  const stopping = untilSignal();
  try {
    const relay = await Promise.race([startRelay({ ...options, write: output.write }), stopping]);
    if (relay === undefined) {
      // Still without a table it serves nobody, and what is on disk stays there.
      output.flush();
      process.exit(0);
    }
    await stopping;
    await relay.stop({ graceMs: stopGraceMs });
    output.flush();
    return 0;
  } catch (error) {
    output.flush();
    return fail([errorText(error)]);
  }
}
