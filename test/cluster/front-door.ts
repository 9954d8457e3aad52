/**
 * What the tests of the front door have on their node: two installations that are reached from outside, and pods of
 * three namespaces that send. "door" has every listener and keeps clients' addresses; "nodeport" does not.
 */
import { makeCertificate } from "./certificate.ts";
import type { ClusterNode } from "./node.ts";
import { addresses } from "./outside.ts";
import type { Submission } from "./pod-submission.ts";
import { type Pods, specTo } from "./pods.ts";
import { Release } from "./release.ts";
import { deployment, podProgram, programsMap } from "./workloads.ts";

/** Where pods send from: with a token and a grant to send as NAMESPACE.test, and with neither. */
const senders = ["shop", "rival"] as const;
const others = ["tokenless"] as const;
export type ClientNamespace = (typeof senders)[number] | (typeof others)[number];

type Pair = Awaited<ReturnType<typeof makeCertificate>>;
export type Letter = Omit<Submission, "host" | "ca">;

const tlsSecret = "front";
const small = { "relay.replicas": 1, "operator.replicas": 1 };

export class FrontDoor {
  readonly door: Release;
  readonly nodeport: Release;
  readonly #node: ClusterNode;
  readonly #pods: Pods;
  #ca = "";

  constructor(node: ClusterNode, pods: Pods) {
    this.#node = node;
    this.#pods = pods;
    const delegations = senders.map((name) => ({
      name,
      namespaces: { names: [name] },
      suffixes: [`${name}.test`],
      senders: { suffixes: [`${name}.test`] },
    }));
    const values = {
      ...small,
      className: "door",
      delegations,
      trustedNetworks: ["192.0.2.0/26"],
      "relay.service": { type: "NodePort", externalTrafficPolicy: "Local" },
      "relay.submission.enabled": true,
      "relay.submissions.enabled": true,
      "relay.proxyProtocol": {
        enabled: true,
        balancers: [addresses.balancer],
        service: { type: "NodePort" },
      },
      "relay.tls.secretName": tlsSecret,
    };
    this.door = new Release({ node, name: "door", namespace: "mail-door", values });
    this.nodeport = new Release({
      node,
      name: "nodeport",
      namespace: "mail-nodeport",
      values: {
        ...small,
        className: "nodeport",
        trustedNetworks: [],
        "relay.service": { type: "NodePort", externalTrafficPolicy: "Cluster" },
        "relay.trusted.enabled": true,
      },
    });
  }

  /** Both installations serve their routes, and the clients run. The certificate is the first that is served. */
  async begin(first: Pair): Promise<void> {
    const { door, nodeport } = this;
    const clients = [...senders, ...others];
    const namespaces = [door.namespace, nodeport.namespace, ...clients];
    const metadata = (name: string): object => ({ metadata: { name } });
    await this.#pods.apply(
      ...namespaces.map((name) => ({ apiVersion: "v1", kind: "Namespace", ...metadata(name) })),
    );
    await this.swapCertificate(first);
    await this.#pods.apply(...clients.flatMap((name) => this.#client(name)));
    await Promise.all([door.install(), nodeport.install()]);
    const trusted = specTo("one", "trusted.test");
    const open = { ...specTo("two", "open.test"), access: "Anyone" };
    for (const { name: className, namespace } of [door, nodeport]) {
      await this.#pods.route("trusted", { ...trusted, className }, namespace);
      await this.#pods.route("open", { ...open, className }, namespace);
      for (const name of ["trusted", "open"])
        await this.#pods.until(name, { type: "Ready", says: /^True/, namespace });
    }
    for (const name of clients)
      await this.#node.kubectl(["rollout", "status", "-n", name, "deploy/client"]);
  }

  /** Nothing stays but the installations' namespaces. */
  async end(): Promise<void> {
    for (const { namespace } of [this.door, this.nodeport]) await this.#pods.withdraw(namespace);
    const clients = [...senders, ...others];
    await this.#node.kubectl(["delete", "namespace", ...clients, "--wait=false"]);
    await Promise.all([this.door.uninstall(), this.nodeport.uninstall()]);
  }

  /** Of the door: for whom it is made out. */
  async certificate(): Promise<Pair> {
    return await makeCertificate(this.door.host);
  }

  async swapCertificate({ certificate, key }: Pair): Promise<void> {
    const metadata = { name: tlsSecret, namespace: this.door.namespace };
    const stringData = { "tls.crt": certificate, "tls.key": key };
    const type = "kubernetes.io/tls";
    await this.#pods.apply({ apiVersion: "v1", kind: "Secret", type, metadata, stringData });
    if (this.#ca === "") this.#ca = certificate;
    else this.#ca += certificate;
  }

  /** A message to the door from a pod; the answer is the relay's last reply. */
  async submit(namespace: ClientNamespace, letter: Letter): Promise<string> {
    const submission: Submission = { ...letter, host: this.door.host, ca: this.#ca };
    const program = podProgram("cluster/pod-submission.ts");
    return await this.#inClient(namespace, ["node", program, JSON.stringify(submission)]);
  }

  /** The same as a person would try it: `mailroute send`. */
  async send(namespace: ClientNamespace, flags: readonly string[]): Promise<string> {
    return await this.#inClient(namespace, ["node", "/app/cli/main.ts", "send", ...flags]);
  }

  /** A token of a namespace's default ServiceAccount. */
  async token(namespace: ClientNamespace, audience?: string): Promise<string> {
    const forWhom = audience === undefined ? [] : ["--audience", audience];
    const said = await this.#node.kubectl([
      "create",
      "token",
      "default",
      "-n",
      namespace,
      ...forWhom,
    ]);
    return said.trim();
  }

  /** The NodePort of a Service's port. */
  async nodePort({ namespace }: Release, service: string, port: number): Promise<number> {
    const jsonPath = `jsonpath={.spec.ports[?(@.port==${port})].nodePort}`;
    const said = await this.#node.kubectl(["get", "svc", service, "-n", namespace, "-o", jsonPath]);
    return Number(said);
  }

  async #inClient(namespace: ClientNamespace, command: readonly string[]): Promise<string> {
    const said = await this.#node.kubectl([
      "exec",
      "-n",
      namespace,
      "deploy/client",
      "--",
      ...command,
    ]);
    return said.trim();
  }

  #client(namespace: ClientNamespace): readonly object[] {
    const args = ["-e", "setInterval(() => {}, 1e9)"];
    const hasToken = senders.some((name) => name === namespace);
    const { image } = this.#node;
    const workload = { name: "client", namespace, image, args };
    return [
      programsMap(namespace),
      deployment({ ...workload, ...(hasToken && { audience: "mailroute" }) }),
    ];
  }
}
