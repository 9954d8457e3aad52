import assert from "node:assert/strict";
import { test } from "node:test";
import { type DrainFacts, planDrains } from "./drain-plan.ts";

const named = (name: string, more: object = {}) => ({ metadata: { name, ...more } });
const template = {
  metadata: { labels: { app: "mailroute", "app.kubernetes.io/component": "relay" } },
  spec: {
    serviceAccountName: "mailroute-relay",
    securityContext: { runAsUser: 65_532 },
    containers: [
      {
        name: "relay",
        image: "mailroute:1",
        args: ["relay"],
        volumeMounts: [
          { name: "config", mountPath: "/etc/mailroute/relay.yaml" },
          { name: "users", mountPath: "/etc/mailroute/users" },
          { name: "handover", mountPath: "/etc/mailroute/handover" },
          { name: "spool", mountPath: "/var/spool/mailroute" },
        ],
      },
    ],
    volumes: [{ name: "config", configMap: { name: "mailroute-relay" } }, { name: "users" }],
  },
};

/** Of ordinals: which Jobs are made, and which go. */
function plan(
  facts: { replicas?: number; start?: number; claims?: number[]; jobs?: number[]; pods?: number[] },
  more: Partial<DrainFacts> = {},
) {
  const { replicas = 2, start, claims = [], jobs = [], pods = [] } = facts;
  return planDrains({
    name: "mailroute",
    statefulSet: {
      spec: { replicas, template, ...(start !== undefined && { ordinals: { start } }) },
    },
    claims: claims.map((each) => named(`spool-mailroute-relay-${each}`)),
    jobs: jobs.map((each) => named(`mailroute-drain-${each}`)),
    pods: pods.map((each) => named(`mailroute-relay-${each}`)),
    ...more,
  });
}
const names = ({ create, remove }: ReturnType<typeof plan>) => [
  create.map(({ metadata }) => metadata?.["name"]),
  remove,
];

test("drain plan: claims of relays that are wanted are left alone", () => {
  assert.deepEqual(names(plan({ claims: [0, 1], pods: [0, 1] })), [[], []]);
  assert.deepEqual(names(plan({ claims: [0, 1] })), [[], []]);
  assert.deepEqual(names(plan({ claims: [5, 6], start: 5 })), [[], []]);
});

test("drain plan: a claim that is left over gets one Job, once its pod is gone", () => {
  assert.deepEqual(names(plan({ claims: [0, 1, 2], pods: [0, 1, 2] })), [[], []]);
  assert.deepEqual(names(plan({ claims: [0, 1, 2], pods: [0, 1] })), [["mailroute-drain-2"], []]);
  assert.deepEqual(names(plan({ claims: [0, 1, 2], jobs: [2] })), [[], []]);
  assert.deepEqual(names(plan({ claims: [4, 5], start: 5 })), [["mailroute-drain-4"], []]);
});

test("drain plan: a Job goes with its claim, or when its relay is wanted again", () => {
  assert.deepEqual(names(plan({ claims: [0, 1], jobs: [2] })), [[], ["mailroute-drain-2"]]);
  assert.deepEqual(names(plan({ replicas: 3, claims: [2], jobs: [2] })), [
    [],
    ["mailroute-drain-2"],
  ]);
  const going = named("mailroute-drain-2", { deletionTimestamp: "now" });
  assert.deepEqual(names(plan({}, { jobs: [going] })), [[], []]);
});

test("drain plan: with no relay nobody could take anything; a claim that goes is drained; others' are nobody's", () => {
  assert.deepEqual(names(plan({ replicas: 0, claims: [0, 1] })), [[], []]);
  const going = named("spool-mailroute-relay-2", { deletionTimestamp: "now" });
  const others = [named("spool-mailroute-relay-x"), named("data-mailroute-relay-2")];
  assert.deepEqual(names(plan({}, { claims: [going, ...others] })), [[], []]);
});

test("drain plan: the Job has the relays' image and configuration, and that claim alone", () => {
  const [job] = plan({ claims: [2] }).create;
  const text = JSON.stringify(job);
  assert.match(
    text,
    /"args":\["drain","--config=\/etc\/mailroute\/relay.yaml","--spool-owner=mailroute-relay-2","--delete-claim=spool-mailroute-relay-2"\]/,
  );
  assert.match(text, /"image":"mailroute:1"/);
  assert.match(text, /"serviceAccountName":"mailroute-drain"/);
  assert.match(text, /"runAsUser":65532/);
  assert.match(text, /"app.kubernetes.io\/component":"relay-drain"/);
  assert.match(text, /"persistentVolumeClaim":\{"claimName":"spool-mailroute-relay-2"\}/);
  assert.doesNotMatch(text, /users/);
});
