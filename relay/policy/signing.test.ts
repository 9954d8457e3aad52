import assert from "node:assert/strict";
import { test } from "node:test";
import { compiled, mailGrant, mailRoute } from "../../routing/compile.testkit.ts";
import { routeOf } from "../../routing/table.ts";
import { signerOf } from "./signing.ts";

const dkim = [{ domain: "corp.test", selector: "s1", secretRef: { name: "dkim" } }];
const secrets = new Map([["mail/dkim", { version: "1", hosts: ["dkim"], keys: ["dkim.key"] }]]);
const { table } = compiled(
  [
    mailRoute("mail/mx", { domains: ["mx.test"], target: { mx: {} } }),
    mailRoute("mail/hosts", { domains: ["hosts.test"] }),
    mailRoute("mail/asked", { domains: ["asked.test"], dkim: "Always" }),
  ],
  {
    grants: [mailGrant("g", { namespaces: { names: ["app"] }, suffixes: ["corp.test"], dkim })],
    secrets,
  },
);

const cases: readonly {
  readonly title: string;
  readonly route: "mx" | "hosts" | "asked";
  readonly from: string;
  readonly stranger?: true;
  readonly signed: boolean;
}[] = [
  { title: "what goes out by MX is signed", route: "mx", from: "From: a@corp.test", signed: true },
  { title: "of a subdomain too", route: "mx", from: "From: A <a@x.CORP.test>", signed: true },
  { title: "another domain's is not", route: "mx", from: "From: a@other.test", signed: false },
  {
    title: "what goes to named hosts is not",
    route: "hosts",
    from: "From: a@corp.test",
    signed: false,
  },
  { title: "but where the route asks", route: "asked", from: "From: a@corp.test", signed: true },
  {
    title: "a stranger's never is, whoever he says he is",
    route: "asked",
    from: "From: a@corp.test",
    stranger: true,
    signed: false,
  },
  {
    title: "an author who is not clear is nobody",
    route: "mx",
    from: "From: a@corp.test\r\nFrom: b@corp.test",
    signed: false,
  },
  { title: "without an author it is not", route: "mx", from: "Subject: x", signed: false },
];

for (const { title, route, from, stranger, signed } of cases) {
  test(`signing: ${title}`, () => {
    const found = routeOf(table, `mail/${route}` as never);
    assert.ok(found);
    const body = Buffer.from(`${from}\r\n\r\nHello.\r\n`);
    const signer = signerOf({ table, route: found, trusted: stranger !== true, body });
    assert.equal(signer?.domain, signed ? "corp.test" : undefined);
  });
}
