import assert from "node:assert/strict";
import { test } from "node:test";
import { compiled, mailGrant, mailRoute } from "./compile.testkit.ts";
import type { SecretFacts } from "./references.ts";
import { signerFor } from "./signers.ts";
import { signersIn } from "./table.ts";
import { buildTable } from "./table-builder.ts";
import { assembleTable, decodeShard, encode } from "./wire.ts";

const sha256 = () => "0".repeat(64);

const grant = (name: string, spec: object) =>
  mailGrant(name, { namespaces: { names: ["app"] }, suffixes: ["corp.example"], ...spec });
const key = (domain: string, secret = "dkim", selector = "s1") => ({
  domain,
  selector,
  secretRef: { name: secret },
});
const facts = (more: Partial<SecretFacts> = {}): SecretFacts => ({
  version: "1",
  hosts: ["dkim"],
  keys: ["dkim.key"],
  ...more,
});
const lent = new Map([["mail/dkim", facts()]]);
const good = { domain: "corp.example", selector: "s1", key: { secret: "mail/dkim", version: "1" } };

test("signers: the key of the longest domain signs for an author's domain", () => {
  const grants = [
    grant("g", { dkim: [key("Corp.Example."), key("hr.corp.example", "dkim", "s2")] }),
  ];
  const { table, grantVerdicts } = compiled([], { grants, secrets: lent });
  assert.deepEqual(signerFor(table, "corp.example"), good);
  assert.deepEqual(signerFor(table, "a.b.corp.example"), good);
  assert.equal(signerFor(table, "x.hr.corp.example")?.selector, "s2");
  assert.equal(signerFor(table, "notcorp.example"), undefined);
  assert.equal(signerFor(table, "example"), undefined);
  assert.deepEqual(grantVerdicts.get("g"), { kind: "accepted", problems: [] });
});

test("signers: a MailRoute cannot bring a key, and no grant one for a domain that is not its own", () => {
  const route = mailRoute("app/a", {
    suffixes: ["corp.example"],
    target: { mx: {} },
    dkim: [key("corp.example")],
  });
  const grants = [grant("g", { dkim: [key("other.example")] })];
  const { table, grantVerdicts } = compiled([route], { grants, secrets: lent });
  assert.deepEqual([...signersIn(table)], []);
  const verdict = grantVerdicts.get("g");
  assert.equal(verdict?.kind, "invalid");
  assert.match(
    JSON.stringify(verdict),
    /spec\.dkim\[0\]\.domain.*other\.example is under none of spec\.suffixes/,
  );
});

const unusable: readonly {
  title: string;
  secrets: ReadonlyMap<string, SecretFacts>;
  why: RegExp;
}[] = [
  {
    title: "is missing",
    secrets: new Map(),
    why: /Secret mail\/dkim does not exist: create it with dkim\.key/,
  },
  {
    title: "is in the tenant's namespace",
    secrets: new Map([["app/dkim", facts()]]),
    why: /Secret mail\/dkim does not exist/,
  },
  {
    title: "is lent to hosts only",
    secrets: new Map([["mail/dkim", facts({ hosts: ["mx.corp.example:25"] })]]),
    why: /not lent for DKIM: kubectl annotate secret dkim --namespace mail --overwrite 'mailroute\.dev\/hosts=dkim,mx\.corp\.example:25'/,
  },
  {
    title: "has no key",
    secrets: new Map([["mail/dkim", facts({ keys: ["tls.key"] })]]),
    why: /has no dkim\.key: add it/,
  },
];

for (const { title, secrets, why } of unusable) {
  test(`signers: where the Secret ${title} the domain stays in the table, and its mail waits`, () => {
    const grants = [grant("g", { dkim: [key("corp.example")] })];
    const { table, grantVerdicts } = compiled([], { grants, secrets });
    const signer = signerFor(table, "corp.example");
    assert.equal(signer?.key, undefined);
    assert.match(signer?.unavailable ?? "", why);
    const verdict = grantVerdicts.get("g");
    assert.equal(
      verdict?.kind === "accepted" && verdict.problems?.[0]?.path,
      "spec.dkim[0].secretRef.name",
    );
  });
}

test("signers: of two grants with a key for one domain the first by name signs, and the other is told", () => {
  const grants = [
    grant("b", { dkim: [key("corp.example", "dkim", "of-b")] }),
    grant("a", { dkim: [key("corp.example", "dkim", "of-a")] }),
  ];
  const { table, grantVerdicts } = compiled([], { grants, secrets: lent });
  assert.equal(signerFor(table, "corp.example")?.selector, "of-a");
  assert.match(
    JSON.stringify(grantVerdicts.get("b")),
    /another key signs for corp\.example already/,
  );
});

test("signers: a grant that is broken goes on signing, with the key that its Secret has now", () => {
  const before = compiled([], {
    grants: [grant("g", { dkim: [key("corp.example")] })],
    secrets: lent,
  });
  const broken = [grant("g", { suffixes: ["no domain"], dkim: [key("corp.example")] })];
  const kept = compiled([], { grants: broken, secrets: lent, previous: before.table });
  assert.deepEqual(signerFor(kept.table, "corp.example"), good);
  const rotated = new Map([["mail/dkim", facts({ version: "2" })]]);
  const after = compiled([], { grants: broken, secrets: rotated, previous: kept.table });
  assert.equal(signerFor(after.table, "corp.example")?.key?.version, "2");
  const deleted = compiled([], { grants: [], secrets: lent, previous: kept.table });
  assert.equal(signerFor(deleted.table, "corp.example"), undefined);
});

test("signers: they cross the wire, also into another number of shards; what is none is refused", () => {
  const grants = [grant("g", { dkim: [key("corp.example"), key("hr.corp.example", "absent")] })];
  const { table } = compiled([], { grants, secrets: lent });
  const { manifest, shards } = encode(table, { sha256 });
  const [bytes = new Uint8Array()] = shards.values();
  const text = Buffer.from(bytes).toString();
  const decoded = new Map(manifest.shards.map(({ name }) => [name, decodeShard(bytes)]));
  assert.deepEqual([...signersIn(assembleTable(manifest, decoded))], [...signersIn(table)]);
  for (const wrong of ["corp_example", "hr.corp.example"]) {
    const altered = Buffer.from(text.replace('"domain":"corp.example"', `"domain":"${wrong}"`));
    assert.throws(() => decodeShard(altered), /signers/, wrong);
  }
  const unknown = Buffer.from(text.replace('"selector"', '"colour":"red","selector"'));
  assert.throws(() => decodeShard(unknown), /signers/);
  const wide = buildTable(
    { entries: [], routes: [], signers: signersIn(table) },
    { shardCount: 8 },
  );
  assert.deepEqual(signerFor(wide, "x.corp.example"), signerFor(table, "corp.example"));
  assert.equal(signerFor(wide, "hr.corp.example")?.domain, "hr.corp.example");
  assert.equal(table.hasSigners, true);
});

test("signers: a table with other signers is another table", () => {
  const of = (selector: string) =>
    compiled([], {
      grants: [grant("g", { dkim: [key("corp.example", "dkim", selector)] })],
      secrets: lent,
    }).table;
  const first = of("s1");
  const same = compiled([], {
    grants: [grant("g", { dkim: [key("corp.example")] })],
    secrets: lent,
    previous: first,
  }).table;
  assert.equal(same.shards, first.shards);
  const next = compiled([], {
    grants: [grant("g", { dkim: [key("corp.example", "dkim", "s2")] })],
    secrets: lent,
    previous: first,
  }).table;
  assert.equal(signerFor(next, "corp.example")?.selector, "s2");
});
