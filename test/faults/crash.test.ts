/** The first law, on real processes that are ended and broken: nothing answered 250 is lost. `npm run crash` is longer. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { skipReason } from "../peers/debian.ts";
import { crashed } from "./crash.ts";
import { buildShim } from "./shim.ts";

const built = await buildShim();

test("crash: kill -9, a full and a failing disk, torn writes and losses of power lose nothing that was answered", {
  skip: skipReason(built),
}, async (context) => {
  const seed = Number(process.env["MAILROUTE_SEED"] ?? Date.now() % 1e9);
  context.diagnostic(`MAILROUTE_SEED=${seed}`);
  const report = await crashed({
    library: "path" in built ? built.path : "",
    seed,
    kills: 12,
    faultRounds: 1,
    answeredMin: 100,
    upMsMax: 300,
    settleMsMax: 120_000,
  });
  context.diagnostic(JSON.stringify(report));
  const { missing, wrongHost, damaged, corrupt, causes, ends } = report;
  assert.deepEqual(
    { missing, wrongHost, damaged, corrupt, unexplained: causes.unexplained },
    { missing: 0, wrongHost: 0, damaged: 0, corrupt: 0, unexplained: 0 },
  );
  assert.ok(ends >= 20, `${ends} ends`);
});
