/** The objects of the pods that the tests send from and deliver to. Pure, but for reading their programs. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export const hopsNamespace = "hops";
const testFolder = join(import.meta.dirname, "..");
const programs = [
  "cluster/pod-sink.ts",
  "cluster/pod-login-sink.ts",
  "cluster/pod-load.ts",
  "ledger/sink.ts",
  "ledger/generator.ts",
];
/** Within the application, so that they find its packages. */
const programsAt = "/app/programs";

export type Workload = {
  readonly name: string;
  readonly image: string;
  /** Of node; a program as it is named above. */
  readonly args: readonly string[];
  readonly replicas?: number;
  /** A Secret to be mounted at /secret. */
  readonly secret?: string;
};

const keyOf = (program: string): string => program.replace("/", "-");

export function programsMap(): object {
  const texts = programs.map((file) => [keyOf(file), readFileSync(join(testFolder, file), "utf8")]);
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "programs", namespace: hopsNamespace },
    data: Object.fromEntries(texts),
  };
}

export function deployment({ name, image, args, replicas = 1, secret }: Workload): object {
  const items = programs.map((path) => ({ key: keyOf(path), path }));
  const volumes: object[] = [{ name: "programs", configMap: { name: "programs", items } }];
  const volumeMounts = [{ name: "programs", mountPath: programsAt }];
  if (secret !== undefined) {
    volumes.push({ name: "secret", secret: { secretName: secret } });
    volumeMounts.push({ name: "secret", mountPath: "/secret" });
  }
  const container = {
    name: "main",
    image,
    command: [
      "node",
      ...args.map((arg) => (programs.includes(arg) ? `${programsAt}/${arg}` : arg)),
    ],
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
    volumeMounts,
  };
  const labels = { app: name };
  const spec = {
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 1,
    securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
    containers: [container],
    volumes,
  };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: hopsNamespace },
    spec: { replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
  };
}

/** Headless, or with an address of its own where a port is given. */
export function service(name: string, port?: number): object {
  const spec = {
    selector: { app: name },
    ports: [{ port: port ?? 2525, targetPort: 2525 }],
    ...(port === undefined && { clusterIP: "None" }),
  };
  const metadata = { name, namespace: hopsNamespace };
  return { apiVersion: "v1", kind: "Service", metadata, spec };
}
