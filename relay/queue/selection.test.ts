import assert from "node:assert/strict";
import { test } from "node:test";
import { type Envelope, freshState } from "../spool/records.ts";
import { freshEntry } from "./entry.ts";
import { isMessageMeant, isRecipientMeant, parseSelection } from "./selection.ts";

const nowMs = 1_000_000;
const entry = () => {
  const recipient = { key: "suffix:test", expiresAtMs: 2 * nowMs, warnAtMs: 2 * nowMs };
  const envelope: Envelope = {
    id: "A1",
    session: "s",
    client: "192.0.2.1",
    trusted: true,
    sender: "me@home.test",
    recipients: [
      { ...recipient, address: "one@a.test" },
      { ...recipient, address: "two@b.test" },
      { ...recipient, address: "three@b.test" },
    ],
    arrivedAtMs: nowMs - 90_000,
    bytes: 10,
    crc: 1,
    eightBit: false,
    smtputf8: false,
  };
  return freshEntry(envelope, freshState(envelope));
};

/** Places picked, or the complaint. */
function pick(query: string, of = entry()): number[] | string {
  const parsed = parseSelection(new URLSearchParams(query), { mustNarrow: false });
  if (!parsed.ok) return parsed.complaint;
  const { selection } = parsed;
  const routeNow = (index: number): string => (index === 0 ? "mail/a" : "mail/b");
  if (!isMessageMeant(of, selection, nowMs)) return [];
  return everyone.filter((index) => isRecipientMeant(of, index, selection, routeNow));
}

const everyone = [0, 1, 2];
const rows: readonly (readonly [string, readonly number[] | RegExp])[] = [
  ["", everyone],
  ["id=A1", everyone],
  ["id=A2&id=A1", everyone],
  ["id=A2", []],
  ["sender=me@HOME.test", everyone],
  ["sender=you@home.test", []],
  ["sender=%3C%3E", []],
  ["recipient=two@b.test", [1]],
  ["domain=B.test", [1, 2]],
  ["domain=test", []],
  ["route=mail/b&recipient=one@a.test", []],
  ["route=mail/a", [0]],
  ["held", []],
  ["older-than=90s", everyone],
  ["older-than=2m", []],
  ["older-than=90", /write it like 90s/],
  ["sender=nobody", /is not a mail address/],
  ["domain=a_b..", /is not a domain/],
  ["colour=red", /colour: there is no such filter/],
];
for (const [query, expected] of rows) {
  test(`selection: "${query}" picks ${expected instanceof RegExp ? "nothing, with words" : JSON.stringify(expected)}`, () => {
    const got = pick(query);
    if (expected instanceof RegExp) assert.match(String(got), expected);
    else assert.deepEqual(got, expected);
  });
}

test("selection: finished recipients are never picked, held messages are by held", () => {
  const some = entry();
  some.pending[1] = null;
  some.held = { sinceMs: nowMs, why: "by order" };
  assert.deepEqual(pick("held&domain=b.test", some), [2]);
});

test("selection: an order without id and filter must say all", () => {
  const parse = (query: string) => parseSelection(new URLSearchParams(query), { mustNarrow: true });
  assert.equal(parse("").ok, false);
  assert.equal(parse("why=x&dry-run").ok, false);
  assert.equal(parse("all").ok, true);
  assert.equal(parse("id=A1").ok, true);
  assert.equal(parse("held").ok, true);
  const many = Array.from({ length: 1001 }, (_, index) => `id=${index}`).join("&");
  assert.equal(parse(many).ok, false);
});
