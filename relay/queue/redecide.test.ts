import assert from "node:assert/strict";
import { test } from "node:test";
import { outboundRoute } from "../config/outbound.ts";
import { outboundKey } from "../policy/admission-key.ts";
import { tableOf, toHost } from "../table/table.testkit.ts";
import { redecide, type Way } from "./redecide.ts";

const retry = { initialMs: 1, maxMs: 1, expireAfterMs: 1, delayWarningAfterMs: 1 };
const outbound = outboundRoute({
  outbound: { tls: "Opportunistic", port: 25, mtaSts: false, deniedNetworks: [] },
  retry,
});

const a = { suffixes: ["a.test"], target: toHost("a1.test") };
const deep = { suffixes: ["x.a.test"], target: toHost("x1.test") };
const dot = { suffixes: ["."], target: toHost("all.test") };
const anyone = { ...a, access: "Anyone" };
const rejecting = {
  suffixes: ["a.test"],
  target: { reject: { code: 550, status: "5.1.2", message: "gone" } },
};
const discarding = { suffixes: ["a.test"], target: { discard: {} } };
const lacking = {
  suffixes: ["a.test"],
  target: toHost("a1.test"),
  tls: { mode: "Verified" },
  auth: { secretRef: { name: "none" } },
};

type Case = {
  readonly name: string;
  readonly specs: Readonly<Record<string, object>>;
  readonly to?: string;
  readonly key: string;
  readonly trusted?: boolean;
  readonly stale?: boolean;
  readonly incomplete?: boolean;
  readonly want: string;
};

const cases: readonly Case[] = [
  {
    name: "a key that is there is followed",
    specs: { a },
    key: "suffix:a.test",
    want: "send mail/a",
  },
  {
    name: "a more specific rule takes over",
    specs: { a, deep },
    to: "u@x.a.test",
    key: "suffix:a.test",
    want: "send mail/deep",
  },
  {
    name: "a wider explicit rule takes what lost its own",
    specs: { a },
    to: "u@x.a.test",
    key: "suffix:x.a.test",
    want: "send mail/a",
  },
  { name: "a withdrawn key never falls to rule 5", specs: {}, key: "suffix:a.test", want: "4.4.4" },
  {
    name: "a withdrawn key never falls to the rule for every domain",
    specs: { dot },
    key: "suffix:a.test",
    want: "4.4.4",
  },
  {
    name: "what the rule for every domain admitted stays with it",
    specs: { dot },
    key: "suffix:.",
    want: "send mail/dot",
  },
  {
    name: "what rule 5 admitted may take a rule that came since",
    specs: { dot },
    key: outboundKey,
    want: "send mail/dot",
  },
  { name: "what rule 5 admitted goes by MX", specs: {}, key: outboundKey, want: "send outbound" },
  {
    name: "what '.' admitted does not go by MX when '.' is gone",
    specs: {},
    key: "suffix:.",
    want: "4.4.4",
  },
  {
    name: "rule 5 waits while the table may be old",
    specs: {},
    key: outboundKey,
    stale: true,
    want: "4.3.0",
  },
  {
    name: "an explicit key is followed even while the table may be old",
    specs: { a },
    key: "suffix:a.test",
    stale: true,
    want: "send mail/a",
  },
  {
    name: "a suffix waits while keys are missing: it may be wider than one of them",
    specs: { a },
    key: "suffix:a.test",
    stale: true,
    incomplete: true,
    want: "4.3.0",
  },
  {
    name: "a domain is followed even while keys are missing",
    specs: { exact: { domains: ["a.test"], target: toHost("a.test") } },
    key: "domain:a.test",
    stale: true,
    incomplete: true,
    want: "send mail/exact",
  },
  {
    name: "a stranger's mail stays with Anyone routes",
    specs: { a },
    key: "suffix:a.test",
    trusted: false,
    want: "4.4.4",
  },
  {
    name: "what a stranger sent to <postmaster> stays with that mailbox",
    specs: { a },
    to: "postmaster@a.test",
    key: "suffix:a.test",
    trusted: false,
    want: "send mail/a",
  },
  {
    name: "a stranger's mail goes on where the route of its domain is for Anyone",
    specs: { anyone },
    key: "suffix:a.test",
    trusted: false,
    want: "send mail/anyone",
  },
  {
    name: "a reject route now fails it with its own words",
    specs: { rejecting },
    key: "suffix:a.test",
    want: "5.1.2",
  },
  {
    name: "a discard route now ends it",
    specs: { discarding },
    key: "suffix:a.test",
    want: "2.0.0",
  },
  {
    name: "a route that cannot be used defers its mail",
    specs: { lacking, dot },
    key: "suffix:a.test",
    want: "4.3.5",
  },
  {
    name: "an unlisted literal waits",
    specs: {},
    to: "u@[192.0.2.1]",
    key: "domain:[192.0.2.1]",
    want: "4.4.4",
  },
];

for (const each of cases) {
  test(`redecide: ${each.name}`, () => {
    const way = redecide({
      table: tableOf(each.specs),
      stale: each.stale ?? false,
      incomplete: each.incomplete ?? false,
      envelope: { sender: "s@sender.test", trusted: each.trusted ?? true },
      recipient: { address: each.to ?? "u@a.test", key: each.key, expiresAtMs: 0, warnAtMs: 0 },
      outbound,
      postmaster: "postmaster@a.test",
    });
    assert.equal(told(way), each.want);
  });
}

function told(way: Way): string {
  return way.kind === "send" ? `send ${way.route.id}` : way.outcome.reply.status;
}
