import assert from "node:assert/strict";
import { test } from "node:test";
import { SpoolError } from "../spool/spool-error.ts";
import { Saver } from "./saver.ts";

/** A spool that answers a commit with each of these in turn, then takes it; what was done, in order. */
function site(errors: readonly Error[], reserves: number) {
  const done: string[] = [];
  const left = [...errors];
  let reserve = reserves;
  const stop = new AbortController();
  const saver = new Saver({
    spool: {
      async commit() {
        const error = left.shift();
        if (error !== undefined) throw error;
        done.push("written");
      },
      async openReserve() {
        done.push("reserve");
        reserve -= 1;
        return reserve >= 0;
      },
    },
    clock: {
      now: () => 0,
      wait(_ms, callback) {
        done.push("waits");
        queueMicrotask(callback);
        return () => undefined;
      },
    },
    signal: stop.signal,
    failed: () => done.push("failed"),
  });
  return { saver, done, stop };
}
const full = new SpoolError("the spool could not be written: No space left on device");
const broken = new SpoolError("the spool could not be written: Input/output error");

test("saver: what does not fit goes into the reserve at once; when that is gone it waits for room", async () => {
  const { saver, done } = site([full, full], 1);
  await saver.save([]);
  assert.deepEqual(done, ["failed", "reserve", "failed", "reserve", "waits", "written"]);
  assert.equal(saver.waiting, 0);
});

test("saver: a disk that fails is not given the reserve", async () => {
  const { saver, done } = site([broken], 1);
  await saver.save([]);
  assert.deepEqual(done, ["failed", "waits", "written"]);
});

test("saver: at the end of the process it gives up, and what was not written stays unwritten", async () => {
  const { saver, done, stop } = site([broken, broken], 1);
  stop.abort();
  await saver.save([]);
  assert.deepEqual(done, ["failed"]);
});
