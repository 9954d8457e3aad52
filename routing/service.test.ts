/** Names of SRV records as hosts of a route: how they are written, who may write them, and how they travel. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { compiled, hosts, mailGrant, mailRoute } from "./compile.testkit.ts";
import { parseService } from "./domain.ts";
import { parseMailRoute } from "./parse-route.ts";
import { hostsAnnotation, hostsIn } from "./references.ts";
import { routesOf } from "./table.ts";
import { assembleTable, decodeManifest, decodeShard, encode } from "./wire.ts";

const service = "_smtp._tcp.corp.example";

test("service: the name of SRV records over TCP, in canonical form, and nothing else", () => {
  const cases: readonly (readonly [text: string, name: string | undefined])[] = [
    [service, service],
    ["_SMTP._TCP.Corp.Example.", service],
    ["_submission._tcp.corp.example", "_submission._tcp.corp.example"],
    ["_x-y9._tcp.größe.example", "_x-y9._tcp.xn--gre-6ka8i.example"],
    ["_smtp._udp.corp.example", undefined],
    ["_tcp.corp.example", undefined],
    ["_smtp._tcp.", undefined],
    ["_smtp._tcp", undefined],
    ["smtp._tcp.corp.example", undefined],
    ["__smtp._tcp.corp.example", undefined],
    ["_-._tcp.corp.example", undefined],
    ["_smtp._tcp._x.example", undefined],
    ["_smtp._tcp.192.0.2.1", undefined],
    ["_smtp._tcp.corp.example:25", undefined],
    [
      `_smtp._tcp.${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(55)}`,
      undefined,
    ],
  ];
  for (const [text, name] of cases) assert.equal(parseService(text), name, text);
});

const parsed = (host: object, spec: object = {}) =>
  parseMailRoute(
    mailRoute("mail/a", { suffixes: ["a.example"], target: { hosts: [host] }, ...spec }).resource,
  );

test("service: as a host it has no port, and the route says which name a certificate must have", () => {
  const verified = { mode: "Verified", serverName: "mx.corp.example" };
  const auth = { secretRef: { name: "login" } };
  const required = { mode: "Required", caSecretRef: { name: "ca" } };
  const cases: readonly (readonly [host: object, spec: object, message: RegExp | undefined])[] = [
    [{ host: service }, {}, undefined],
    [{ host: service, priority: 5, weight: 0 }, { tls: { mode: "Required" } }, undefined],
    [{ host: service }, { protocol: "LMTP" }, undefined],
    [{ host: service }, { tls: verified, auth }, undefined],
    [{ host: service, port: 25 }, {}, /leave port out/],
    [{ host: service }, { tls: { mode: "Verified" } }, /need tls\.serverName/],
    [{ host: service }, { tls: required, auth }, /need tls\.serverName/],
    [{ host: "_smtp._udp.corp.example" }, {}, /SRV records/],
    [{ host: "_smtp._tcp.corp.999" }, {}, /SRV records/],
  ];
  for (const [host, spec, message] of cases) {
    const result = parsed(host, spec);
    const text = result.ok ? "" : result.issues.map((issue) => issue.message).join("; ");
    if (message === undefined) assert.equal(text, "", JSON.stringify({ host, spec }));
    else assert.match(text, message, JSON.stringify({ host, spec }));
  }
});

test("service: a Secret is lent to it under its name alone", () => {
  const result = parsed(
    { host: service },
    {
      tls: { mode: "Verified", serverName: "mx.corp.example" },
      auth: { secretRef: { name: "login" } },
    },
  );
  assert.deepEqual(result.ok && result.route.secrets.map((need) => need.hosts), [[service]]);
  const facts = (annotation: string) => ({
    version: "1",
    keys: ["username", "password"],
    hosts: hostsIn(annotation),
  });
  const login = mailRoute("mail/a", {
    suffixes: ["a.example"],
    target: { hosts: [{ host: service }] },
    tls: { mode: "Verified", serverName: "mx.corp.example" },
    auth: { secretRef: { name: "login" } },
  });
  for (const [annotation, isUsable] of [
    ["_SMTP._tcp.corp.example", true],
    ["_smtp._tcp.corp.example:25", false],
    ["corp.example:25", false],
  ] as const) {
    const secrets = new Map([["mail/login", facts(annotation)]]);
    const [route] = routesOf(compiled([login], { secrets }).table);
    assert.equal(route?.unavailable === undefined, isUsable, `${hostsAnnotation}: ${annotation}`);
  }
});

test("service: a grant names it, or a whole domain, and never with ports, which DNS names", () => {
  const route = mailRoute("team/a", {
    suffixes: ["a.example"],
    target: { hosts: [{ host: service }] },
  });
  const cases: readonly (readonly [hosts: readonly object[] | undefined, isAllowed: boolean])[] = [
    [undefined, true],
    [[{ host: service }], true],
    [[{ host: "*.corp.example" }], true],
    [[{ host: "*" }], true],
    [[{ host: service, ports: [25] }], false],
    [[{ host: "*", ports: [25] }], false],
    [[{ host: "corp.example" }], false],
    [[{ host: "192.0.2.0/24" }], false],
  ];
  for (const [allowed, isAllowed] of cases) {
    const grant = mailGrant("team", {
      namespaces: { names: ["team"] },
      suffixes: ["a.example"],
      ...(allowed !== undefined && { targets: { hosts: allowed } }),
    });
    const verdict = compiled([route], { grants: [grant] }).verdicts.get("team/a" as never);
    assert.ok(verdict?.kind === "accepted");
    assert.equal(verdict.unavailable === undefined, isAllowed, JSON.stringify([allowed, verdict]));
  }
});

test("service: it travels in a table as it was written, and a host without a port does not", () => {
  const target = { hosts: [{ host: service, weight: 3 }, ...hosts("mx.corp.example").hosts] };
  const { table } = compiled([mailRoute("mail/a", { suffixes: ["a.example"], target })]);
  const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
  const { manifest, shards } = encode(table, { sha256 });
  const read = (change: (text: string) => string) => {
    const entries = [...shards].map(([name, bytes]) => {
      const text = change(Buffer.from(bytes).toString());
      return [name, decodeShard(Buffer.from(text), {})] as const;
    });
    return assembleTable(decodeManifest(JSON.stringify(manifest)), new Map(entries));
  };
  const [route] = routesOf(read((text) => text));
  assert.deepEqual(route?.target.kind === "hosts" && route.target.hosts, [
    { host: service, port: 0, priority: 10, weight: 3 },
    { host: "mx.corp.example", port: 25, priority: 10, weight: 1 },
  ]);
  assert.throws(() => read((text) => text.replace('"port":25', '"port":0')));
  assert.throws(() => read((text) => text.replace('"port":0', '"port":25')));
});
