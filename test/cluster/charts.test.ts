/** What the charts render, and what they refuse, by Helm itself and without a cluster. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseAllDocuments } from "yaml";
import { parseSettings } from "../../operator/settings.ts";
import { checkConfig, parseConfig } from "../../relay/config/config.ts";
import { endpointsOf } from "../../relay/config/listeners.ts";
import { parseMailGrant } from "../../routing/grants.ts";

const root = join(import.meta.dirname, "../..");
const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "mailroute/cluster");
const helm = join(cache, "bin/helm");
const missing = build();
const skip = missing !== undefined && process.env["CI"] !== "true" ? missing : false;

function build(): string | undefined {
  if (existsSync(helm)) return undefined;
  if (spawnSync("go", ["version"]).status !== 0) return "Go is needed to build Helm";
  const script = join(root, "test/cluster/build.sh");
  const { status } = spawnSync(script, [cache, "helm"], { stdio: "inherit" });
  return status === 0 ? undefined : "Helm could not be built";
}

type Rendered = { readonly ok: boolean; readonly words: string; readonly objects: readonly Json[] };
type Json = { readonly [field: string]: never } & {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
};

function render(values: Readonly<Record<string, unknown>>, name = "mailroute"): Rendered {
  const set = Object.entries(values).flatMap(([path, value]) => [
    "--set-json",
    `${path}=${JSON.stringify(value)}`,
  ]);
  const args = ["template", name, join(root, "charts/mailroute"), "--namespace", "mail", ...set];
  const { status, stdout, stderr } = spawnSync(helm, args, { encoding: "utf8" });
  const objects = status === 0 ? parseAllDocuments(stdout).map((each) => each.toJS() as Json) : [];
  return { ok: status === 0, words: stderr, objects: objects.filter((each) => each !== null) };
}

const hostname = "relay.corp.example";
const clusterWide = [
  ...["ClusterRole", "ClusterRoleBinding", "MailGrant"],
  ...["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"],
];

test("charts: helm lint finds nothing", { skip }, () => {
  for (const chart of ["mailroute", "mailroute-crds"]) {
    const args = ["lint", "--strict", join(root, "charts", chart), "--set", `hostname=${hostname}`];
    const { status, stdout, stderr } = spawnSync(helm, args, { encoding: "utf8" });
    assert.equal(status, 0, stdout + stderr);
  }
});

const refused: readonly { name: string; values: Record<string, unknown>; words: RegExp }[] = [
  { name: "no hostname", values: { hostname: undefined }, words: /hostname/ },
  {
    name: "trust by address behind source NAT",
    values: {
      "relay.service.type": "LoadBalancer",
      "relay.service.externalTrafficPolicy": "Cluster",
      trustedNetworks: ["192.0.2.0/24"],
    },
    words: /set relay\.service\.externalTrafficPolicy to Local/,
  },
  {
    name: "a trusted listener that can be reached from outside",
    values: { "relay.trusted.enabled": true, "relay.trusted.service.type": "LoadBalancer" },
    words: /a trusted listener has a ClusterIP Service only; set relay\.trusted\.service\.type/,
  },
  {
    name: "a PROXY twin without balancers",
    values: { "relay.proxyProtocol.enabled": true },
    words: /relay\.proxyProtocol\.balancers is empty.*list the addresses/,
  },
  {
    name: "trust by address that anybody who reaches a node could claim by a PROXY header",
    values: {
      "relay.proxyProtocol.enabled": true,
      "relay.proxyProtocol.balancers": ["198.51.100.0/24"],
      "relay.proxyProtocol.service.externalTrafficPolicy": "Cluster",
      trustedNetworks: ["192.0.2.0/24"],
    },
    words: /set relay\.proxyProtocol\.service\.externalTrafficPolicy to Local/,
  },
  {
    name: "submission without a certificate",
    values: { "relay.submission.enabled": true },
    words: /relay\.submission\.enabled needs a certificate: set relay\.tls\.secretName/,
  },
  {
    name: "submission where nobody can authenticate",
    values: {
      "relay.submissions.enabled": true,
      "relay.tls.secretName": "a",
      "relay.authentication.serviceAccounts.enabled": false,
    },
    words: /relay\.submissions\.enabled.*nobody can authenticate: set relay\.authentication\.users/,
  },
  {
    name: "more certificates without a first one",
    values: { "relay.tls.sniSecretNames": ["b"] },
    words: /relay\.tls\.secretName is empty/,
  },
  {
    name: "client certificates that name nobody",
    values: {
      "relay.tls.secretName": "a",
      "relay.tls.clientCertificates.secretName": "ca",
    },
    words: /relay\.tls\.clientCertificates needs both secretName/,
  },
  {
    name: "a setting that the relay does not have",
    values: { "relay.config.colour": "red" },
    words: /relay\/config.*colour/,
  },
  {
    name: "a limit out of its bounds",
    values: { "relay.config.limits.recipientsMax": 1 },
    words: /recipientsMax.*minimum/,
  },
  {
    name: "a setting that is the chart's own",
    values: { "relay.config.listeners": [] },
    words: /listeners/,
  },
  {
    name: "a delegation to nobody",
    values: { delegations: [{ name: "sales", suffixes: ["sales.example"] }] },
    words: /missing property 'namespaces'/,
  },
  {
    name: "a delegation by label where labels may not be read",
    values: {
      watchNamespaces: ["sales"],
      delegations: [
        {
          name: "sales",
          suffixes: ["sales.example"],
          namespaces: { selector: { matchLabels: { team: "sales" } } },
        },
      ],
    },
    words: /name them in namespaces\.names/,
  },
  {
    name: "a delegation to a namespace that is not watched",
    values: {
      watchNamespaces: ["sales"],
      delegations: [
        { name: "sales", suffixes: ["sales.example"], namespaces: { names: ["selas"] } },
      ],
    },
    words: /selas is not in watchNamespaces/,
  },
];

for (const { name, values, words } of refused) {
  test(`charts: ${name} is refused`, { skip }, () => {
    const given = Object.entries({ hostname, ...values }).filter(([, each]) => each !== undefined);
    const rendered = render(Object.fromEntries(given));
    assert.equal(rendered.ok, false);
    assert.match(rendered.words, words);
  });
}

test("charts: the relays' configuration is one that the relay takes", { skip }, () => {
  const { objects, words } = render({
    hostname,
    trustedNetworks: ["192.0.2.0/24"],
    deniedNetworks: ["10.96.0.0/12"],
    "relay.config": {
      spool: { limits: { bytesMax: 107_374_182_400 } },
      inbound: { hosts: [{ host: "store.example", port: 24 }] },
    },
    "relay.tls.secretName": "smtp-tls",
  });
  assert.equal(words, "");
  const map = objects.find(({ kind }) => kind === "ConfigMap") as unknown as {
    data: Record<string, string>;
  };
  const parsed = parseConfig(map.data["relay.yaml"] ?? "", { spoolOwner: "mailroute-relay-0" });
  assert.ok(parsed.ok, parsed.ok ? "" : parsed.complaints.join());
  assert.ok(checkConfig(parsed.config).ok);
  assert.equal(parsed.config.spool.limits.bytesMax, 107_374_182_400);
  assert.deepEqual(parsed.config.routes.deniedNetworks, ["10.96.0.0/12"]);
  const operator = objects.find(({ kind }) => kind === "Deployment");
  assert.match(JSON.stringify(operator), /--denied-network=10\.96\.0\.0\/12/);
});

test("charts: every listener has its Service, and the relay takes them all", { skip }, () => {
  const { objects, words } = render({
    hostname,
    neverTrustedNetworks: ["198.51.100.0/24"],
    "networkPolicy.enabled": true,
    "relay.submission.enabled": true,
    "relay.submissions.enabled": true,
    "relay.trusted.enabled": true,
    "relay.proxyProtocol.enabled": true,
    "relay.proxyProtocol.balancers": ["203.0.113.10", "2001:db8::/64"],
    "relay.tls.secretName": "mx-tls",
    "relay.tls.sniSecretNames": ["smtp-tls"],
    "relay.tls.clientCertificates": { secretName: "ca", key: "ca.crt", names: ["*.corp.example"] },
  });
  assert.equal(words, "");
  const map = objects.find(({ kind }) => kind === "ConfigMap") as unknown as {
    data: Record<string, string>;
  };
  const parsed = parseConfig(map.data["relay.yaml"] ?? "", { spoolOwner: "mailroute-relay-0" });
  assert.ok(parsed.ok, parsed.ok ? "" : parsed.complaints.join());
  const { config } = parsed;
  assert.deepEqual(config.neverTrustedNetworks, ["198.51.100.0/24"]);
  assert.equal(config.tls?.certificates.length, 2);
  const endpoints = endpointsOf(config.listeners);
  const listening = new Set(endpoints.map(({ port }) => port));
  const services = objects.filter(({ kind }) => kind === "Service") as unknown as {
    metadata: { name: string };
    spec: { type?: string; ports: { port: number; targetPort: number }[] };
  }[];
  const portsOf = (name: string): string[] => {
    const spec = services.find(({ metadata }) => metadata.name === name)?.spec;
    for (const each of spec?.ports ?? []) assert.ok(listening.has(each.targetPort), name);
    return [
      spec?.type ?? "",
      ...(spec?.ports ?? []).map((each) => `${each.port}>${each.targetPort}`),
    ];
  };
  assert.deepEqual(portsOf("mailroute"), ["ClusterIP", "25>2525", "587>1587", "465>1465"]);
  assert.deepEqual(portsOf("mailroute-proxy"), ["LoadBalancer", "25>2526", "587>1588", "465>1466"]);
  assert.deepEqual(portsOf("mailroute-trusted"), ["ClusterIP", "25>2527"]);
  assert.deepEqual(
    endpoints.filter(({ trusted }) => trusted).map(({ port }) => port),
    [2527],
  );
  assert.deepEqual(
    endpoints.filter(({ balancers }) => balancers !== undefined).map(({ port }) => port),
    [2526, 1588, 1466],
  );
  const policies = JSON.stringify(objects.filter(({ kind }) => kind === "NetworkPolicy"));
  assert.match(policies, /"cidr":"203\.0\.113\.10\/32"\}\},\{"ipBlock":\{"cidr":"2001:db8::\/64"/);
  assert.doesNotMatch(policies, /2527/, "nobody may reach the trusted listener unless named");
  const set = JSON.stringify(objects.find(({ kind }) => kind === "StatefulSet"));
  assert.match(set, /--never-trusted=\$\(NODE_ADDRESSES\).*status\.hostIPs/);
  for (const secret of ["mx-tls", "smtp-tls", "ca"]) {
    assert.match(set, new RegExp(`"secretName":"${secret}"`));
  }
});

test("charts: every object is named by its release, also those without a namespace", {
  skip,
}, () => {
  const values = {
    hostname,
    "networkPolicy.enabled": true,
    delegations: [{ name: "a", namespaces: { names: ["a"] }, suffixes: ["a.example"] }],
  };
  const { objects } = render(values, "second");
  assert.ok(objects.length > 15, String(objects.length));
  for (const { kind, metadata } of objects) {
    const isClusterWide = clusterWide.includes(kind);
    assert.match(metadata.name, isClusterWide ? /^mail\.second[-.]/ : /^second(-|$)/, kind);
    assert.equal(metadata.namespace, isClusterWide ? undefined : "mail", kind);
  }
});

test("charts: with watchNamespaces there are Roles, no ClusterRole, and the grants are a file", {
  skip,
}, () => {
  const values = {
    hostname,
    watchNamespaces: ["a", "b"],
    delegations: [{ name: "a", namespaces: { names: ["a"] }, suffixes: ["a.example"] }],
  };
  const { objects, words } = render(values);
  assert.equal(words, "");
  assert.deepEqual(
    objects.filter(({ kind }) => clusterWide.includes(kind)),
    [],
  );
  const roles = objects.filter(
    ({ kind, metadata }) => kind === "Role" && metadata.name === "mail.mailroute-operator",
  );
  assert.deepEqual(roles.map(({ metadata }) => metadata.namespace).sort(), ["a", "b", "mail"]);
  const map = objects.find(({ metadata }) => metadata.name === "mailroute-grants") as unknown as {
    data: Record<string, string>;
  };
  const grants = parseAllDocuments(map.data["grants.yaml"] ?? "").map((each) => each.toJS());
  const parsed = parseSettings({
    name: "mailroute",
    namespace: "mail",
    identity: "pod",
    relaySelector: "a=b",
    watchNamespaces: ["a", "b"],
    grants: grants.filter((each) => each !== null),
  });
  assert.ok(parsed.ok, parsed.ok ? "" : parsed.complaints.join());
  assert.deepEqual(parsed.settings.watchNamespaces, ["mail", "a", "b"]);
  const [grant] = parsed.settings.grants;
  assert.ok(parseMailGrant(grant).ok);
});

test("charts: Prometheus finds every pod by its annotations, unless the values say otherwise", {
  skip,
}, () => {
  const relayOnly = { "prometheus.io/scrape": "false" };
  const { objects } = render({ hostname, "relay.podAnnotations": relayOnly });
  const scraped = (kind: string): unknown => {
    const found = objects.find((each) => each.kind === kind) as unknown as {
      spec: { template: { metadata: { annotations: Record<string, string> } } };
    };
    const { annotations } = found.spec.template.metadata;
    return ["scrape", "port", "path"].map((each) => annotations[`prometheus.io/${each}`]);
  };
  assert.deepEqual(scraped("Deployment"), ["true", "9090", "/metrics"]);
  assert.deepEqual(scraped("StatefulSet"), ["false", "9090", "/metrics"]);
});

test("charts: an autoscaler says how many relays there are, or `replicas` does", { skip }, () => {
  const relays = (objects: readonly Json[]) =>
    objects.find(({ kind }) => kind === "StatefulSet")?.["spec"] as unknown as {
      replicas?: number;
    };
  const fixed = render({ hostname });
  assert.equal(relays(fixed.objects).replicas, 2);
  assert.ok(fixed.objects.every(({ kind }) => kind !== "HorizontalPodAutoscaler"));
  const scaled = render({ hostname, "relay.autoscaling.enabled": true });
  assert.equal(relays(scaled.objects).replicas, undefined);
  const autoscaler = scaled.objects.find(({ kind }) => kind === "HorizontalPodAutoscaler");
  assert.match(JSON.stringify(autoscaler), /"kind":"StatefulSet","name":"mailroute-relay"/);
  assert.match(JSON.stringify(autoscaler), /"minReplicas":2/);
});

test("charts: the relays' configuration says how a queue is handed over, and they may do it", {
  skip,
}, () => {
  const { objects } = render({ hostname, "relay.config.handover.timeMsMax": 30_000 }, "mail-out");
  const text = JSON.stringify(objects);
  assert.match(text, /\\"siblings\\": \\"mail-out-relay\.mail\.svc\\"/);
  assert.match(text, /\\"timeMsMax\\": 30000/);
  assert.match(text, /"secretName":"mail-out-handover"/);
  assert.match(text, /"resources":\["statefulsets"\],"resourceNames":\["mail-out-relay"\]/);
});

test("charts: a drain may touch claims of this release's relays, and of nobody else", {
  skip,
}, () => {
  const { objects } = render({ hostname, watchNamespaces: ["a"] }, "mail-out");
  const role = objects.find(
    ({ kind, metadata }) => kind === "Role" && metadata.name === "mail-out-drain",
  ) as unknown as { rules: { resourceNames: string[] }[] };
  assert.equal(role.rules.length, 1);
  const names = role.rules[0]?.resourceNames ?? [];
  assert.equal(names.length, 1000);
  assert.ok(names.every((each, ordinal) => each === `spool-mail-out-relay-${ordinal}`));
});
