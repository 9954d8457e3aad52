/** `mailroute operator`: MailRoutes of a cluster to route tables in ConfigMaps, until a signal stops it. */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { parseAllDocuments } from "yaml";
import { connectCluster } from "../kube/cluster.ts";
import { errorText } from "../kube/error-text.ts";
import { startOperator } from "../operator/operator.ts";
import { parseSettings } from "../operator/settings.ts";
import { bufferedWriter } from "./buffered-writer.ts";
import { type Command, fail } from "./console.ts";
import { untilSignal } from "./signals.ts";
import { version } from "./version.ts";

export const operatorCommand: Command = {
  name: "operator",
  summary: "run the operator in a cluster: MailRoutes to route tables",
  help: `mailroute operator --name NAME --namespace NAMESPACE --identity POD --relay-selector LABELS

Watches MailRoutes, MailGrants, Namespaces and the Secrets that are lent, compiles them into
one route table in ConfigMaps NAME-routes..., asks the ready relays which table they serve,
and writes statuses. Of several replicas one leads; the others wait. The API server is that
of the pod, or of KUBECONFIG.

  --name NAME              the installation's name; those of its objects begin with it
  --namespace NAMESPACE    where it lives, and whose MailRoutes may claim anything
  --identity POD           who this process is
  --relay-selector LABELS  label selector of the relay pods
  --relay-admin-port N     where they answer /revision (9090)
  --class NAME             serves MailRoutes of this className (default)
  --delegation MODE        required: other namespaces need a MailGrant (the default); off
  --watch-namespace NS     watches this namespace and its own only; repeat it. Needs no
                           rights on the cluster; MailGrants then come from --grants, with
                           namespaces by name
  --grants FILE            MailGrants as YAML documents, with --watch-namespace
  --denied-network CIDR    a network that tenants' routes may not reach; repeat it
  --admin-host, --admin-port   where /metrics, /healthz, /readyz and /revision answer (::, 9090)`,
  async run(args) {
    const text = { type: "string" } as const;
    const { values } = parseArgs({
      args,
      options: {
        name: text,
        namespace: text,
        identity: text,
        class: text,
        delegation: text,
        "denied-network": { type: "string", multiple: true },
        "watch-namespace": { type: "string", multiple: true },
        grants: text,
        "relay-selector": text,
        "relay-admin-port": text,
        "admin-host": text,
        "admin-port": text,
      },
    });
    const grants = values.grants === undefined ? [] : grantsIn(values.grants);
    if (!Array.isArray(grants)) return fail([grants.error]);
    const parsed = parseSettings({
      name: values.name,
      namespace: values.namespace,
      identity: values.identity,
      className: values.class,
      delegation: values.delegation,
      deniedNetworks: values["denied-network"],
      watchNamespaces: values["watch-namespace"],
      grants,
      relaySelector: values["relay-selector"],
      relayAdminPort: values["relay-admin-port"],
      adminHost: values["admin-host"],
      adminPort: values["admin-port"],
    });
    if (!parsed.ok)
      return fail([...parsed.complaints, "mailroute operator --help lists the flags"]);
    const output = bufferedWriter((line) => process.stdout.write(line));
    try {
      const operator = await startOperator({
        settings: parsed.settings,
        connect: connectCluster,
        version,
        write: output.write,
      });
      const ended = await Promise.race([untilSignal(), operator.lost]);
      await operator.stop();
      output.flush();
      // A lost lease ends the process: the pod starts again with nothing left of what it believed.
      return ended === undefined ? 0 : 1;
    } catch (error) {
      output.flush();
      return fail([errorText(error)]);
    }
  },
};

/** The documents of a file, or why it cannot be read; what each says is compile's to judge. */
function grantsIn(file: string): object[] | { readonly error: string } {
  try {
    const documents = parseAllDocuments(readFileSync(file, "utf8"));
    const broken = documents.find(({ errors }) => errors.length > 0);
    if (broken !== undefined) return { error: `--grants ${file}: ${broken.errors[0]?.message}` };
    return documents.map((each) => each.toJS() as object | null).filter((each) => each !== null);
  } catch (error) {
    return { error: `--grants ${file}: ${errorText(error)}` };
  }
}
