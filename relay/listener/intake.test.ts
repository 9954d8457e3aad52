import assert from "node:assert/strict";
import { test } from "node:test";
import { LIMITS } from "./dialog.testkit.ts";
import { Dialogue } from "./dialogue.ts";
import { Intake } from "./intake.ts";
import { ReceivingBytes } from "./limits.ts";
import { Recorder } from "./recorder.testkit.ts";

test("Intake: chunks that are refused again and again are answered ever later, as other errors are", async () => {
  const pauses: number[] = [];
  const dialogue = new Dialogue({
    client: {
      sessionId: "test",
      address: "192.0.2.1",
      port: 1,
      listener: "test",
      localAddress: "192.0.2.2",
      localPort: 25,
    },
    reception: new Recorder(),
    limits: LIMITS,
    hostname: "mx.test",
    startTls: false,
    authentication: undefined,
    failed: (error) => assert.fail(String(error)),
    pause: async (ms) => void pauses.push(ms),
  });
  const intake = new Intake({
    dialogue,
    limits: LIMITS,
    receiving: new ReceivingBytes(LIMITS),
    network: "192.0.2.1",
    exceeded: (limit) => assert.fail(limit),
  });
  for (let errors = 1; errors <= 7; errors += 1) {
    const chunk = dialogue.command("BDAT 0 LAST", "waiting");
    assert.ok("octets" in chunk);
    assert.equal(intake.chunk(chunk).feed(Buffer.alloc(0), 0), 0);
    const step = await intake.arrived();
    assert.equal(step.reply.code, 503);
  }
  assert.deepEqual(pauses, [1000, 1000]);
});
