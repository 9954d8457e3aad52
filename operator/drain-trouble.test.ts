import assert from "node:assert/strict";
import { test } from "node:test";
import { troubleOf } from "./drain-trouble.ts";

const nowMs = Date.parse("2026-01-01T01:00:00Z");
const claim = { metadata: { name: "spool-mailroute-relay-2" } };

/** What is said of a Job that was made so many minutes ago, and its pod. */
function said(options: { minutes?: number; attempts?: number; job?: object; pod?: object }) {
  const { minutes = 1, attempts = 0, job = {}, pod } = options;
  const metadata = {
    name: "mailroute-drain-2",
    creationTimestamp: new Date(nowMs - minutes * 60_000).toISOString(),
    annotations: { "mailroute.dev/drain-attempts": String(attempts) },
  };
  const labels = { "batch.kubernetes.io/job-name": "mailroute-drain-2" };
  const other = { metadata: { labels: { "batch.kubernetes.io/job-name": "mailroute-drain-3" } } };
  const pods = [other, ...(pod === undefined ? [] : [{ metadata: { labels }, status: pod }])];
  return troubleOf({ job: { metadata, ...job }, claim, pods, nowMs })?.text;
}

const container = (restartCount: number, more: object = {}) => ({
  phase: "Running",
  containerStatuses: [{ restartCount, ...more }],
});

test("drain trouble: a failure or two is nothing, three are, with the process's last words", () => {
  const message = '{"event":"problem"}\n4 messages handed over, 2 left: run it again\n';
  const more = { lastState: { terminated: { message } }, state: { waiting: { reason: "x" } } };
  assert.equal(said({ pod: container(2, more) }), undefined);
  assert.equal(
    said({ pod: container(3, more) }),
    "the Job mailroute-drain-2 has failed 3 times: 4 messages handed over, 2 left: run it again",
  );
  assert.match(said({ attempts: 1, pod: container(2, more) }) ?? "", /has failed 3 times/);
});

test("drain trouble: a Job whose pod does not begin says why, after five minutes", () => {
  const waiting = { reason: "ImagePullBackOff", message: "no such image" };
  const pulling = { ...container(0, { state: { waiting } }), phase: "Pending" };
  assert.equal(said({ minutes: 5, pod: pulling }), undefined);
  assert.equal(
    said({ minutes: 6, pod: pulling }),
    "the Job mailroute-drain-2 has not begun for 6 minutes: ImagePullBackOff no such image",
  );
  const conditions = [{ type: "PodScheduled", status: "False", message: "no node has its volume" }];
  assert.match(
    said({ minutes: 9, pod: { phase: "Pending", conditions } }) ?? "",
    /9 minutes: no node has its volume$/,
  );
  assert.equal(said({ minutes: 9 }), "the Job mailroute-drain-2 has not begun for 9 minutes");
});

test("drain trouble: one that works for long, or has just ended, is none", () => {
  assert.equal(said({ minutes: 600, pod: container(0) }), undefined);
  const status = { conditions: [{ type: "Complete", status: "True" }] };
  assert.equal(said({ minutes: 9, job: { status } }), undefined);
});
