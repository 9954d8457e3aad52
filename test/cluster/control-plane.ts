/**
 * A real etcd and kube-apiserver for tests: built once from Go modules into the user's cache, started on
 * loopback ports in a scratch directory, stopped by the pids that were started. No pods, no root.
 * MAILROUTE_TEST_KUBECONFIG names a cluster to be used instead.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  createWriteStream,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { KubeConfig } from "@kubernetes/client-node";
import { createApi } from "../../kube/api.ts";
import { freePort } from "../peers/ports.ts";

export type ControlPlane = {
  readonly kubeConfig: KubeConfig;
  /** Stops the API server, as an outage; `resume` starts it again on the same port. */
  readonly outage: (() => Promise<() => Promise<void>>) | undefined;
  /** The audit log's lines: every request that was answered. Undefined for a cluster that is not ours. */
  readonly audit: (() => readonly AuditLine[]) | undefined;
  stop(): Promise<void>;
};

export type AuditLine = {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly requestURI: string;
  readonly stage: string;
};

const programs = ["etcd", "kube-apiserver"];
const startMsMax = 60_000;

/** Or the reason why there is none here. With CI=true a missing Go is for the caller to fail on. */
export async function startControlPlane(): Promise<ControlPlane | { readonly missing: string }> {
  const given = process.env["MAILROUTE_TEST_KUBECONFIG"];
  if (given !== undefined) {
    const kubeConfig = new KubeConfig();
    kubeConfig.loadFromFile(given);
    return { kubeConfig, outage: undefined, audit: undefined, stop: async () => {} };
  }
  const cache = join(
    process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"),
    "mailroute/cluster",
  );
  const built = build(cache);
  if (built !== undefined) return { missing: built };
  return await start(join(cache, "bin"));
}

function build(cache: string): string | undefined {
  const isThere = programs.every(
    (each) => spawnSync(join(cache, "bin", each), ["--version"]).status === 0,
  );
  if (isThere) return undefined;
  if (spawnSync("go", ["version"]).status !== 0)
    return "Go is needed to build etcd and kube-apiserver, and is not on PATH";
  const script = join(import.meta.dirname, "build.sh");
  const { status } = spawnSync(script, [cache, ...programs], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  return status === 0 ? undefined : `${script} failed`;
}

async function start(bin: string): Promise<ControlPlane> {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-control-plane-"));
  const pki = join(directory, "pki");
  mkdirSync(pki);
  makeCertificates(pki);
  const [client, peer, secure] = [await freePort(), await freePort(), await freePort()];
  const etcdUrl = `http://127.0.0.1:${client}`;
  const peerUrl = `http://127.0.0.1:${peer}`;
  const run = (name: string, args: readonly string[]): ChildProcess => {
    const child = spawn(join(bin, name), [...args], {
      stdio: ["ignore", "pipe", "pipe"],
      cwd: pki,
    });
    const log = createWriteStream(join(directory, `${name}.log`), { flags: "a" });
    child.stdout?.pipe(log, { end: false });
    child.stderr?.pipe(log, { end: false });
    return child;
  };
  const etcd = run("etcd", [
    "--data-dir",
    join(directory, "etcd"),
    "--unsafe-no-fsync",
    "--listen-client-urls",
    etcdUrl,
    "--advertise-client-urls",
    etcdUrl,
    "--listen-peer-urls",
    peerUrl,
    "--initial-advertise-peer-urls",
    peerUrl,
    "--initial-cluster",
    `default=${peerUrl}`,
  ]);
  const auditFile = join(directory, "audit.log");
  writeFileSync(
    join(directory, "audit.yaml"),
    "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n",
  );
  const serverArgs = [
    "--etcd-servers",
    etcdUrl,
    "--bind-address",
    "127.0.0.1",
    "--secure-port",
    String(secure),
    "--cert-dir",
    join(directory, "cert"),
    "--tls-cert-file",
    "apiserver.crt",
    "--tls-private-key-file",
    "apiserver.key",
    "--client-ca-file",
    "ca.crt",
    "--authorization-mode",
    "RBAC",
    "--service-cluster-ip-range",
    "203.0.113.0/24",
    "--service-account-issuer",
    "https://kubernetes.default.svc",
    "--service-account-key-file",
    "sa.pub",
    "--service-account-signing-key-file",
    "sa.key",
    "--audit-policy-file",
    join(directory, "audit.yaml"),
    "--audit-log-path",
    auditFile,
  ];
  let server = run("kube-apiserver", serverArgs);
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromClusterAndUser(
    {
      name: "test",
      server: `https://127.0.0.1:${secure}`,
      caData: base64(join(pki, "ca.crt")),
      skipTLSVerify: false,
    },
    {
      name: "admin",
      certData: base64(join(pki, "admin.crt")),
      keyData: base64(join(pki, "admin.key")),
    },
  );
  const tail = (): string =>
    readFileSync(join(directory, "kube-apiserver.log"), "utf8").slice(-2000);
  await answers(kubeConfig, tail);
  return {
    kubeConfig,
    audit: () =>
      readFileSync(auditFile, "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as AuditLine),
    async outage() {
      await end(server);
      return async () => {
        server = run("kube-apiserver", serverArgs);
        await answers(kubeConfig, tail);
      };
    },
    async stop() {
      await end(server);
      await end(etcd);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function makeCertificates(pki: string): void {
  const openssl = (...args: string[]): void =>
    void execFileSync("openssl", args, { cwd: pki, stdio: "pipe" });
  const key = (name: string): void =>
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", `${name}.key`);
  key("ca");
  openssl(
    "req",
    "-x509",
    "-new",
    "-key",
    "ca.key",
    "-subj",
    "/CN=cluster-ca",
    "-days",
    "2",
    "-out",
    "ca.crt",
  );
  for (const [name, subject, alternative] of [
    ["apiserver", "/CN=apiserver", "DNS:localhost,IP:127.0.0.1"],
    ["admin", "/O=system:masters/CN=admin", "DNS:admin"],
  ] as const) {
    key(name);
    openssl("req", "-new", "-key", `${name}.key`, "-subj", subject, "-out", `${name}.csr`);
    writeFileSync(
      join(pki, `${name}.ext`),
      `subjectAltName=${alternative}\nextendedKeyUsage=serverAuth,clientAuth\n`,
    );
    openssl(
      "x509",
      "-req",
      "-in",
      `${name}.csr`,
      "-CA",
      "ca.crt",
      "-CAkey",
      "ca.key",
      "-CAcreateserial",
      "-days",
      "2",
      "-out",
      `${name}.crt`,
      "-extfile",
      `${name}.ext`,
    );
  }
  openssl("genrsa", "-out", "sa.key", "2048");
  openssl("rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub");
}

async function answers(kubeConfig: KubeConfig, tail: () => string): Promise<void> {
  const api = createApi(kubeConfig, { requestMsMax: 2000 });
  const endMs = Date.now() + startMsMax;
  for (;;) {
    const answer = await api.request({ path: "/readyz" }).catch(() => undefined);
    if (answer?.status === 200) break;
    if (Date.now() > endMs) throw new Error(`the API server does not become ready: ${tail()}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  await api.close();
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

function base64(file: string): string {
  return readFileSync(file).toString("base64");
}
