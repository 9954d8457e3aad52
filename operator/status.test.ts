import assert from "node:assert/strict";
import { test } from "node:test";
import { type Judged, nextStatus, type Served, type Status } from "./status.ts";

const good: Judged = {
  kind: "accepted",
  conditions: [
    { type: "Accepted", status: "True", reason: "Accepted", message: "all keys are in force" },
    { type: "ResolvedRefs", status: "True", reason: "ResolvedRefs", message: "" },
  ],
  keys: { claimed: 2, held: 2 },
  issues: [],
  conflicts: [],
  refusedKeys: [],
};
const lost: Judged = {
  ...good,
  kind: "conflicted",
  conditions: [
    {
      type: "Accepted",
      status: "False",
      reason: "Conflicted",
      message: "suffix:a.test is held by mail/other",
    },
    { type: "ResolvedRefs", status: "True", reason: "ResolvedRefs", message: "" },
  ],
  keys: { claimed: 2, held: 0 },
};
const yes: Served = {
  status: "True",
  reason: "Programmed",
  message: "every ready relay serves it",
};
const behind: Served = {
  status: "False",
  reason: "RelaysBehind",
  message: "not served yet by relay-0",
};
const takes: Served = { status: "True", reason: "Delivering", message: "" };
const none: Served = { status: "Unknown", reason: "NoRelays", message: "no relay is ready" };

const inForce = { verdict: good, served: yes, delivering: takes };

function object(status?: object) {
  const spec = { target: { hosts: [{ host: "mx.test", port: 25 }] } };
  return { metadata: { generation: 3 }, spec, ...(status !== undefined && { status }) };
}

const now = "2026-01-02T03:04:05.000Z";

function truths(status: Status | undefined): Record<string, string> {
  return Object.fromEntries((status?.conditions ?? []).map((each) => [each.type, each.status]));
}

const cases: readonly {
  name: string;
  verdict: Judged;
  served: Served;
  want: Record<string, string>;
}[] = [
  {
    name: "in force everywhere",
    verdict: good,
    served: yes,
    want: { Programmed: "True", Ready: "True", Stalled: "False" },
  },
  {
    name: "a relay is behind",
    verdict: good,
    served: behind,
    want: { Programmed: "False", Ready: "False", Stalled: "False" },
  },
  {
    name: "no relay is ready",
    verdict: good,
    served: none,
    want: { Programmed: "Unknown", Ready: "Unknown", Stalled: "False" },
  },
  {
    name: "its keys are another's",
    verdict: lost,
    served: yes,
    want: { Accepted: "False", Programmed: "False", Ready: "False", Stalled: "True" },
  },
];

for (const { name, verdict, served, want } of cases) {
  test(`status: ${name}`, () => {
    const found = truths(nextStatus(object(), { verdict, served, delivering: takes, now }));
    for (const [type, status] of Object.entries(want)) assert.equal(found[type], status, type);
  });
}

test("status: what stands is not written again", () => {
  const first = nextStatus(object(), { verdict: good, served: yes, delivering: takes, now });
  assert.equal(nextStatus(object(first), { ...inForce, now: "2027-01-01T00:00:00Z" }), undefined);
});

test("status: only the condition that changed has a new transition time", () => {
  const first = nextStatus(object(), { ...inForce, served: behind, now });
  const later = "2026-02-02T00:00:00.000Z";
  const second = nextStatus(object(first), { ...inForce, now: later });
  const times = Object.fromEntries(
    (second?.conditions ?? []).map((each) => [each.type, each.lastTransitionTime]),
  );
  assert.deepEqual([times["Accepted"], times["Programmed"], times["Ready"]], [now, later, later]);
});

test("status: conditions of others stay, and the CRD's defaults of 1970 do not", () => {
  const foreign = {
    type: "Audited",
    status: "True",
    reason: "r",
    message: "",
    observedGeneration: 1,
    lastTransitionTime: now,
  };
  const pending = {
    ...foreign,
    type: "Programmed",
    status: "Unknown",
    lastTransitionTime: "1970-01-01T00:00:00Z",
  };
  const standing = object({ conditions: [foreign, pending] });
  const next = nextStatus(standing, { ...inForce, served: none, now });
  assert.deepEqual(
    next?.conditions.find(({ type }) => type === "Audited"),
    foreign,
  );
  assert.equal(next?.conditions.find(({ type }) => type === "Programmed")?.lastTransitionTime, now);
});

test("status: says where the mail goes", () => {
  assert.equal(
    nextStatus(object(), { verdict: good, served: yes, delivering: takes, now })?.targets,
    "mx.test:25",
  );
});

test("status: hosts that take no mail are Delivering=False and leave Ready alone", () => {
  const failing: Served = {
    status: "False",
    reason: "HostsFailing",
    message: "mx.test:25 is away",
  };
  const found = truths(nextStatus(object(), { ...inForce, delivering: failing, now }));
  assert.deepEqual(
    [found["Delivering"], found["Ready"], found["Stalled"]],
    ["False", "True", "False"],
  );
});

test("status: what the guard holds back is stalled, with the command that approves it", () => {
  const served: Served = { status: "False", reason: "NotPublished", message: "" };
  const heldBack = "if that is meant: kubectl annotate";
  const found = nextStatus(object(), { ...inForce, served, heldBack, now })?.conditions ?? [];
  for (const type of ["Programmed", "Ready", "Stalled"]) {
    const condition = found.find((each) => each.type === type);
    assert.deepEqual([condition?.reason, condition?.message], ["HeldBack", heldBack], type);
  }
  // What stands in the published table is served, whatever waits behind it.
  const standing = truths(nextStatus(object(), { ...inForce, heldBack, now }));
  assert.deepEqual([standing["Programmed"], standing["Stalled"]], ["True", "False"]);
});
