import assert from "node:assert/strict";
import { test } from "node:test";
import { type DrainFacts, planDrains } from "./drain-plan.ts";

const nowMs = Date.parse("2026-01-01T00:00:00Z");
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
    nowMs,
    ...more,
  });
}
const names = ({ create, remove }: ReturnType<typeof plan>) =>
  [create, remove].map((list) => list.map(({ metadata }) => metadata?.["name"]));

/** For the claim of ordinal 2; `attempts` others have ended before it. */
const job = (attempts: number, more: object = {}) => ({
  ...named("mailroute-drain-2", {
    annotations: { "mailroute.dev/drain-attempts": String(attempts) },
  }),
  spec: { template },
  ...more,
});
const ended = (type: string, secondsAgo: number) => ({
  status: {
    conditions: [
      { type: "Suspended", status: "False" },
      {
        type,
        status: "True",
        lastTransitionTime: new Date(nowMs - secondsAgo * 1000).toISOString(),
      },
    ],
  },
});

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

test("drain plan: with no relay nobody could take anything; a claim that goes and others' claims get no Job", () => {
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

test("drain plan: a Job that has ended while its claim is there is made again, later each time", () => {
  const again = (attempts: number, secondsAgo: number, type = "Failed") =>
    plan({ claims: [2] }, { jobs: [job(attempts, ended(type, secondsAgo))] });
  assert.deepEqual(names(again(0, 14)), [[], []]);
  assert.deepEqual(names(again(0, 15)), [["mailroute-drain-2"], ["mailroute-drain-2"]]);
  assert.deepEqual(names(again(0, 15, "Complete")), [["mailroute-drain-2"], ["mailroute-drain-2"]]);
  assert.deepEqual(names(again(1, 29)), [[], []]);
  assert.deepEqual(names(again(1, 30)), [["mailroute-drain-2"], ["mailroute-drain-2"]]);
  assert.deepEqual(names(again(40, 599)), [[], []]);
  assert.deepEqual(names(again(40, 600)), [["mailroute-drain-2"], ["mailroute-drain-2"]]);
  const [next] = again(1, 30).create;
  assert.deepEqual(next?.metadata?.["annotations"], { "mailroute.dev/drain-attempts": "2" });
  const running = plan({ claims: [2], replicas: 0 }, { jobs: [job(0, ended("Failed", 900))] });
  assert.deepEqual(names(running), [[], []], "there is nobody to take anything");
});

test("drain plan: what does not get done is told, and counted", () => {
  const calm = plan({ claims: [2, 3] }, { jobs: [job(2)] });
  assert.deepEqual([calm.left, calm.troubles], [2, []]);
  const { left, troubles } = plan({ claims: [2, 3] }, { jobs: [job(3)] });
  assert.equal(left, 2);
  assert.deepEqual(troubles, [
    {
      claim: named("spool-mailroute-relay-2"),
      text: "the Job mailroute-drain-2 has failed 3 times",
    },
  ]);
});

test("drain plan: a Job that does not get done is made again with the relays' new image", () => {
  const old = { spec: { template: { spec: { containers: [{ image: "mailroute:0" }] } } } };
  const kept = plan({ claims: [2] }, { jobs: [job(2, old)] });
  assert.deepEqual(names(kept), [[], []], "it is at work");
  const replaced = plan({ claims: [2] }, { jobs: [job(3, old)] });
  assert.deepEqual(names(replaced), [["mailroute-drain-2"], ["mailroute-drain-2"]]);
  assert.match(JSON.stringify(replaced.create), /"image":"mailroute:1"/);
});
