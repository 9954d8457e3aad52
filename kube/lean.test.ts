import assert from "node:assert/strict";
import { test } from "node:test";
import { lean } from "./lean.ts";

test("lean: field owners and kubectl's copy go, everything else stays", () => {
  const metadata = { name: "a", resourceVersion: "7", labels: { team: "x" } };
  const object = {
    kind: "MailRoute",
    metadata: {
      ...metadata,
      managedFields: [{ manager: "kubectl" }],
      annotations: { "kubectl.kubernetes.io/last-applied-configuration": "{}", "a.test/b": "c" },
    },
    spec: { suffixes: ["a.test"] },
    status: {},
  };
  assert.deepEqual(lean(object), {
    ...object,
    metadata: { ...metadata, annotations: { "a.test/b": "c" } },
  });
});

test("lean: what has none of it is as it was", () => {
  for (const object of [
    {},
    { kind: "Status", message: "gone" },
    { metadata: {} },
    { metadata: { name: "a", annotations: { "a.test/b": "c" } }, data: {} },
  ])
    assert.deepEqual(lean(object), object);
});
