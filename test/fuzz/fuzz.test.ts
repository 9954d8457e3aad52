/** A few seconds of fuzzing with one seed; that the fuzzer finds, shrinks and repeats itself. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzz } from "./fuzz.ts";
import type { Target } from "./target.ts";
import { targets } from "./targets.ts";

const seed = 20_260_101;
/** A whole session takes longer than a line. */
const roundsOf = (name: string): number => (name === "sessions" ? 300 : 1500);

for (const target of targets) {
  const rounds = roundsOf(target.name);
  test(`fuzz: ${rounds} inputs for ${target.name}, seed ${seed}`, async () => {
    const { tried, finding } = await fuzz({
      targets: [target],
      seed,
      goesOn: (done) => done < rounds,
    });
    const input = finding?.input.toString("hex");
    assert.equal(finding?.error, undefined, `--target ${target.name} --input ${input}`);
    assert.equal(tried.get(target.name), rounds);
  });
}

const defective: Target = {
  name: "defective",
  tokens: ["bad"],
  seeds: ["good"],
  check(input) {
    if (input.includes("bad")) throw new Error("found");
  },
};

test("fuzz: finds a defect, shrinks its input to what matters, and finds it again by its seed", async () => {
  const search = () => fuzz({ targets: [defective], seed: 7, goesOn: (done) => done < 1000 });
  const first = await search();
  assert.equal(first.finding?.input.toString(), "bad");
  assert.deepEqual((await search()).tried, first.tried);
});
