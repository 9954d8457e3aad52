import assert from "node:assert/strict";
import { test } from "node:test";
import { nextGrantStatus } from "./grant-status.ts";

const now = "2026-01-02T03:04:05.000Z";
const object = (status?: object) => ({
  metadata: { generation: 2 },
  ...(status !== undefined && { status }),
});

test("grant status: an accepted grant says so once", () => {
  const first = nextGrantStatus(object(), { verdict: { kind: "accepted" }, now });
  assert.deepEqual(
    first?.conditions.map(({ type, status }) => [type, status]),
    [["Accepted", "True"]],
  );
  assert.equal(nextGrantStatus(object(first), { verdict: { kind: "accepted" }, now }), undefined);
});

test("grant status: a wrong one names field and mend, five at most", () => {
  const issues = Array.from({ length: 7 }, (_, at) => ({
    path: `spec.suffixes[${at}]`,
    message: "is no domain",
  }));
  const next = nextGrantStatus(object(), { verdict: { kind: "invalid", issues }, now });
  const [condition] = next?.conditions ?? [];
  assert.equal(condition?.status, "False");
  assert.match(
    condition?.message ?? "",
    /^spec\.suffixes\[0\]: is no domain; .*suffixes\[4\].*; and more$/,
  );
});

test("grant status: of a grant with DKIM keys it says whether they can be used", () => {
  const path = "spec.dkim[0].secretRef.name";
  const problems = [{ path, message: "Secret mail/dkim does not exist" }];
  const missing = nextGrantStatus(object(), { verdict: { kind: "accepted", problems }, now });
  assert.deepEqual(
    missing?.conditions.map(({ type, status }) => [type, status]),
    [
      ["Accepted", "True"],
      ["ResolvedRefs", "False"],
    ],
  );
  assert.equal(missing?.conditions[1]?.message, `${path}: Secret mail/dkim does not exist`);
  const here = nextGrantStatus(object(missing), {
    verdict: { kind: "accepted", problems: [] },
    now,
  });
  assert.equal(here?.conditions[1]?.status, "True");
});
