/** The objects of the pods that the tests send from and deliver to. Pure, but for reading their programs. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export const hopsNamespace = "hops";
const testFolder = join(import.meta.dirname, "..");
const programs = [
  "cluster/pod-sink.ts",
  "cluster/pod-login-sink.ts",
  "cluster/pod-load.ts",
  "cluster/pod-submission.ts",
  "ledger/sink.ts",
  "ledger/generator.ts",
];
/** Within the application, so that they find its packages. */
const programsAt = "/app/programs";
/** Where a pod finds the token of its ServiceAccount, if it is given one: as docs/security.md says it. */
const tokenAt = "/var/run/mail";

/** Where a program is in a pod. */
export const podProgram = (file: string): string => `${programsAt}/${file}`;

export type Workload = {
  readonly name: string;
  readonly image: string;
  /** Of node; a program as it is named above. */
  readonly args: readonly string[];
  readonly replicas?: number;
  /** A Secret to be mounted at /secret. */
  readonly secret?: string;
  /** Where it is not among the next hops; programsMap() must be there. */
  readonly namespace?: string;
  /** For whom its ServiceAccount's token is made out; without it there is none. */
  readonly audience?: string;
};

const keyOf = (program: string): string => program.replace("/", "-");

export function programsMap(namespace = hopsNamespace): object {
  const texts = programs.map((file) => [keyOf(file), readFileSync(join(testFolder, file), "utf8")]);
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "programs", namespace },
    data: Object.fromEntries(texts),
  };
}

export function deployment(workload: Workload): object {
  const { name, image, args, replicas = 1, namespace = hopsNamespace } = workload;
  const mounts = mountsOf(workload);
  const container = {
    name: "main",
    image,
    command: ["node", ...args.map((arg) => (programs.includes(arg) ? podProgram(arg) : arg))],
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
    volumeMounts: mounts.map(([{ name: volume }, mountPath]) => ({ name: volume, mountPath })),
  };
  const labels = { app: name };
  const spec = {
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 1,
    securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
    containers: [container],
    volumes: mounts.map(([volume]) => volume),
  };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace },
    spec: { replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
  };
}

type Volume = { readonly name: string } & Readonly<Record<string, unknown>>;

function mountsOf({ secret, audience }: Workload): readonly (readonly [Volume, string])[] {
  const items = programs.map((path) => ({ key: keyOf(path), path }));
  const all: [Volume, string][] = [
    [{ name: "programs", configMap: { name: "programs", items } }, programsAt],
  ];
  if (secret !== undefined)
    all.push([{ name: "secret", secret: { secretName: secret } }, "/secret"]);
  if (audience !== undefined) {
    const serviceAccountToken = { audience, expirationSeconds: 3600, path: "token" };
    all.push([{ name: "token", projected: { sources: [{ serviceAccountToken }] } }, tokenAt]);
  }
  return all;
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
