import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "../../routing/address.ts";
import { tableOf, toHost } from "../table/table.testkit.ts";
import { type Admission, admit } from "./admit.ts";

const specs = {
  inside: { suffixes: ["in.test"], target: toHost("a.test") },
  open: { suffixes: ["open.test"], target: { inbound: {} }, access: "Anyone" },
  gone: {
    suffixes: ["gone.test"],
    target: { reject: { code: 550, status: "5.1.2", message: "no such domain here" } },
  },
  literal: { domains: ["[192.0.2.7]"], target: toHost("a.test") },
  "from-boss": {
    suffixes: ["boss.test"],
    senders: { domains: ["hq.test"] },
    target: toHost("a.test"),
  },
};
const withDot = { ...specs, dot: { suffixes: ["."], target: toHost("all.test") } };

type Case = {
  readonly path: string;
  readonly trusted?: boolean;
  readonly stale?: boolean;
  readonly incomplete?: boolean;
  readonly dot?: boolean;
  readonly sender?: string;
  readonly want: string;
};

const cases: readonly Case[] = [
  { path: "u@in.test", trusted: true, want: "suffix:in.test" },
  { path: "u@in.test", want: "550 5.7.1" },
  { path: "u@in.test", stale: true, want: "450 4.7.1" },
  { path: "u@open.test", want: "suffix:open.test" },
  { path: "u@open.test", stale: true, want: "suffix:open.test" },
  { path: "u@elsewhere.test", trusted: true, want: "outbound" },
  { path: "u@elsewhere.test", want: "550 5.7.1" },
  { path: "u@elsewhere.test", trusted: true, stale: true, want: "451 4.3.0" },
  { path: "u@elsewhere.test", trusted: true, dot: true, want: "suffix:." },
  { path: "u@elsewhere.test", trusted: true, dot: true, stale: true, want: "451 4.3.0" },
  { path: "u@in.test", trusted: true, stale: true, incomplete: true, want: "451 4.3.0" },
  { path: "u@open.test", stale: true, incomplete: true, want: "451 4.3.0" },
  { path: "u@gone.test", stale: true, incomplete: true, want: "451 4.3.0" },
  {
    path: "u@[192.0.2.7]",
    trusted: true,
    stale: true,
    incomplete: true,
    want: "domain:[192.0.2.7]",
  },
  { path: "u@gone.test", trusted: true, want: "550 5.1.2" },
  { path: "u@gone.test", want: "550 5.1.2" },
  { path: "u@[192.0.2.7]", trusted: true, want: "domain:[192.0.2.7]" },
  { path: "u@[192.0.2.8]", trusted: true, want: "550 5.1.2" },
  { path: "u@[192.0.2.8]", trusted: true, dot: true, want: "550 5.1.2" },
  { path: "@relay.test,@b.test:u@in.test", trusted: true, want: "suffix:in.test" },
  { path: "u%in.test@elsewhere.test", want: "550 5.7.1" },
  { path: "u@open.test@elsewhere.test", trusted: true, want: "501 5.1.3" },
  { path: "postmaster", want: "suffix:in.test" },
  { path: "postmaster@in.test", want: "550 5.7.1" },
  { path: "PostMaster", trusted: true, want: "suffix:in.test" },
  { path: "root", trusted: true, want: "501 5.1.3" },
  { path: "u@0x7f.1", trusted: true, want: "501 5.1.3" },
  { path: "u@ex%61mple.test", trusted: true, want: "501 5.1.3" },
  { path: "u@boss.test", trusted: true, sender: "x@hq.test", want: "suffix:boss.test" },
  { path: "u@boss.test", trusted: true, sender: "x@other.test", want: "outbound" },
  { path: "u@boss.test", trusted: true, sender: "", want: "outbound" },
];

for (const {
  path,
  trusted = false,
  stale = false,
  incomplete = false,
  dot = false,
  sender = "",
  want,
} of cases) {
  const who = `${trusted ? "a trusted client" : "a stranger"}${stale ? ", table stale" : ""}${incomplete ? " and incomplete" : ""}${dot ? ", with a rule for every domain" : ""}${sender === "" ? "" : `, from ${sender}`}`;
  test(`admit: <${path}> by ${who}: ${want}`, () => {
    const admission = admit({
      table: tableOf(dot ? withDot : specs),
      stale,
      incomplete,
      trusted,
      sender: parseAddress(sender),
      path,
      utf8: false,
      postmaster: "postmaster@in.test",
    });
    assert.equal(told(admission), want);
  });
}

test("admit: a route that lacks a Secret takes trusted mail, and tells a stranger nothing of the Secret", () => {
  const table = tableOf({
    lacking: {
      suffixes: ["in.test"],
      target: toHost("a.test"),
      access: "Anyone",
      tls: { mode: "Verified" },
      auth: { secretRef: { name: "vault" } },
    },
  });
  const asked = { table, stale: false, sender: undefined, path: "u@in.test", utf8: false };
  const postmaster = "postmaster@in.test";
  const stranger = admit({ ...asked, postmaster, trusted: false });
  assert.deepEqual(stranger, {
    ok: false,
    reason: "unavailable",
    reply: {
      code: 451,
      status: "4.3.5",
      text: "this domain's route cannot be used now, try again",
    },
  });
  assert.equal(told(admit({ ...asked, postmaster, trusted: true })), "suffix:in.test");
});

function told(admission: Admission): string {
  return admission.ok ? admission.key : `${admission.reply.code} ${admission.reply.status}`;
}
