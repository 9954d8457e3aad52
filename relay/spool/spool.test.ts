import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Message, message, scratchSpool } from "./message.testkit.ts";
import {
  decodeEnvelope,
  decodeState,
  type Envelope,
  encodeEnvelope,
  encodeState,
  freshState,
  type State,
} from "./records.ts";
import { Spool } from "./spool.ts";
import { SpoolError } from "./spool-error.ts";

function bigMessage(id: string): Message {
  return message(id, `Subject: ${id}\r\n\r\n${"x".repeat(78)}\r\n`.repeat(5000));
}

/** Of the first big body. */
const firstFile = "0000000001";

const fail = (id: string): never => assert.fail(`${id} is said to be corrupt`);

test("spool: what was committed is there after the process is gone, in order of arrival", async (context) => {
  const options = scratchSpool(context);
  const first = await Spool.open(options);
  const kept = ["1", "2", "3"].map((id) => message(id, `Subject: ${id}\r\n\r\n`));
  for (const each of kept) await first.commit([{ kind: "accept", ...each }]);
  const partly: State = {
    recipients: [null, { attempts: 2, dueAtMs: 99, warned: false, last: "451" }],
  };
  await first.commit([{ kind: "update", id: "2", state: partly }]);
  await first.commit([{ kind: "remove", envelope: kept[0]?.envelope as Envelope }]);
  await first.close();

  const second = await Spool.open(options);
  const stored = [...second.list(fail)];
  assert.deepEqual(
    stored.map(({ envelope }) => envelope.id),
    ["2", "3"],
  );
  assert.deepEqual(stored[0]?.state, partly);
  assert.deepEqual(stored[1]?.state, freshState(kept[2]?.envelope as Envelope));
  assert.equal(
    (await second.body(stored[0]?.envelope as Envelope)).toString(),
    "Subject: 2\r\n\r\n",
  );
  assert.equal(second.messages, 2);
  await second.close();
});

test("spool: changes of one commit hold together: a DSN is there exactly when its cause is gone", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  const { envelope, body } = message("1");
  await spool.commit([{ kind: "accept", envelope, body }]);
  await spool.commit([
    { kind: "remove", envelope },
    { kind: "accept", ...message("2") },
  ]);
  await spool.close();
  const again = await Spool.open(options);
  assert.deepEqual(
    [...again.list(fail)].map((each) => each.envelope.id),
    ["2"],
  );
  await again.close();
});

test("spool: a big body is a file, whole after a restart, and written over when its message is gone, as are files of none", async (context) => {
  const options = scratchSpool(context);
  const bodies = join(options.directory, "bodies");
  const first = await Spool.open(options);
  const big = bigMessage("1");
  await first.commit([{ kind: "accept", ...big }]);
  await first.commit([{ kind: "accept", ...message("2") }]);
  assert.deepEqual(readdirSync(bodies), [firstFile]);
  await first.close();
  writeFileSync(join(bodies, "ORPHAN"), "half of a body");
  writeFileSync(join(bodies, "0000000007"), big.body.subarray(0, 400_000));
  const second = await Spool.open(options);
  const stored = [...second.list(fail)];
  await second.setAside();
  assert.deepEqual(readdirSync(bodies), [firstFile, "0000000007"]);
  const body = await second.body(stored[0]?.envelope as Envelope);
  assert.ok(Buffer.isBuffer(body) && body.equals(big.body));
  await second.commit([{ kind: "remove", envelope: big.envelope }]);
  for (const id of ["3", "4", "5"]) {
    const next = bigMessage(id);
    await second.commit([{ kind: "accept", ...next }]);
    const read = await second.body(next.envelope);
    assert.ok(Buffer.isBuffer(read) && read.equals(next.body), id);
  }
  assert.deepEqual(readdirSync(bodies), [firstFile, "0000000007", "0000000008"]);
  await second.openReserve();
  for (const id of ["3", "5"])
    await second.commit([{ kind: "remove", envelope: bigMessage(id).envelope }]);
  await second.openReserve();
  assert.equal(readdirSync(bodies).length, 1);
  await second.close();
});

test("spool: a message that comes a second time is refused, and costs the first nothing", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  const big = bigMessage("1");
  await spool.commit([{ kind: "accept", ...big }]);
  await assert.rejects(spool.commit([{ kind: "accept", ...big }]), SpoolError);
  const body = await spool.body(big.envelope);
  assert.ok(Buffer.isBuffer(body) && body.equals(big.body));
  assert.equal(spool.messages, 1);
  await spool.close();
});

test("spool: a big body that is damaged or gone is told apart from one that cannot be read now", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  const { envelope, body } = bigMessage("1");
  await spool.commit([{ kind: "accept", envelope, body }]);
  const file = join(options.directory, "bodies", firstFile);
  renameSync(file, `${file}.away`);
  mkdirSync(file);
  assert.equal(await spool.body(envelope), "unreadable");
  rmdirSync(file);
  assert.equal(await spool.body(envelope), "damaged");
  writeFileSync(file, body.subarray(1));
  assert.equal(await spool.body(envelope), "damaged");
  assert.equal(await spool.keepDamaged(envelope), true);
  assert.equal(statSync(join(options.directory, "corrupt", "1.body")).size, body.length - 1);
  await spool.close();
});

test("spool: bytes and messages are bounded, and given back when a message is finished", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open({
    ...options,
    limits: { ...options.limits, bytesMax: 12_500, messagesMax: 3 },
  });
  const { envelope, body } = message("1", `x\r\n`.repeat(2000));
  await spool.commit([{ kind: "accept", envelope, body }]);
  assert.equal(spool.hasRoom(3000), false);
  assert.equal(spool.hasRoom(500), true);
  await spool.commit([{ kind: "remove", envelope }]);
  assert.equal(spool.hasRoom(3000), true);
  assert.equal(spool.bytes, 0);
  for (const id of ["2", "3", "4"]) await spool.commit([{ kind: "accept", ...message(id) }]);
  assert.equal(spool.hasRoom(1), false);
  await spool.close();
});

test("spool: a volume with too little free space takes no new mail", async (context) => {
  const limits = { freeBytesMin: Number.MAX_SAFE_INTEGER };
  const spool = await Spool.open(scratchSpool(context, limits));
  assert.equal(spool.hasRoom(1), false);
  await spool.close();
});

test("spool: a second opener is refused while the first lives, and let in when it is killed", async (context) => {
  const options = scratchSpool(context);
  const program = `import { Spool } from ${JSON.stringify(join(import.meta.dirname, "spool.ts"))};
    await Spool.open(${JSON.stringify(options)}); console.log("open"); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  await assert.rejects(
    Spool.open(options),
    /in use by another relay: stop that one, or give this one/,
  );
  child.kill("SIGKILL");
  await once(child, "exit");
  const spool = await Spool.open(options);
  await spool.close();
});

test("spool: of many that start at once after a crash exactly one gets it", async (context) => {
  const options = scratchSpool(context);
  const program = `import { acquireLock } from ${JSON.stringify(join(import.meta.dirname, "lock.ts"))};
    await acquireLock(${JSON.stringify(options.directory)}); console.log("open"); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  child.kill("SIGKILL");
  await once(child, "exit");
  const opened = await Promise.allSettled(
    Array.from({ length: 8 }, async () => await Spool.open(options)),
  );
  const winners = opened.filter((each) => each.status === "fulfilled");
  assert.equal(winners.length, 1);
  await winners[0]?.value.close();
});

test("spool: a long directory name does not stop the lock", async (context) => {
  const options = scratchSpool(context);
  const directory = join(options.directory, "a".repeat(100), "b".repeat(60));
  const spool = await Spool.open({ ...options, directory });
  await assert.rejects(Spool.open({ ...options, directory }), SpoolError);
  await spool.close();
});

test("spool: another owner's spool and a newer format are refused with words", async (context) => {
  const options = scratchSpool(context);
  await (await Spool.open(options)).close();
  await assert.rejects(
    Spool.open({ ...options, owner: "other.test" }),
    /belongs to "relay.test".*set spool.owner/,
  );
  const label = join(options.directory, "spool.json");
  writeFileSync(label, readFileSync(label, "utf8").replace('"format":2', '"format":3'));
  await assert.rejects(
    Spool.open(options),
    /has format 3, this version reads none above 2: use the newer version/,
  );
});

test("records: a flipped bit anywhere in a record is noticed", () => {
  const { envelope } = message("1");
  for (const sealed of [encodeState(freshState(envelope)), encodeEnvelope(envelope)]) {
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const damaged = Buffer.from(sealed);
      damaged.writeUInt8(damaged.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      assert.equal(decodeState(damaged, envelope), undefined);
      assert.equal(decodeEnvelope(damaged), undefined);
    }
  }
});

test("spool: a disk that refuses writes rejects the commit, and costs neither the process nor what was there", async (context) => {
  const options = scratchSpool(context);
  const program = `
    import { Spool } from ${JSON.stringify(join(import.meta.dirname, "spool.ts"))};
    import { SpoolError } from ${JSON.stringify(join(import.meta.dirname, "spool-error.ts"))};
    import { checksum } from ${JSON.stringify(join(import.meta.dirname, "records.ts"))};
    const spool = await Spool.open(${JSON.stringify(options)});
    const body = Buffer.alloc(100_000, 120);
    let kept = 0;
    let refused = 0;
    for (let number = 0; number < 30; number++) {
      const envelope = { ...${JSON.stringify(message("x").envelope)}, id: "m" + number, bytes: body.length, crc: checksum(body) };
      try {
        await spool.commit([{ kind: "accept", envelope, body }]);
        kept += 1;
      } catch (error) {
        if (!(error instanceof SpoolError)) throw error;
        refused += 1;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 100)); // an unhandled rejection would end it here
    console.log(JSON.stringify({ kept, refused, messages: spool.messages }));
    process.exit(0);`;
  // The shell bounds the size of files; with the signal ignored the write itself fails, as on a full disk.
  const command = `trap '' XFSZ; ulimit -f 2000; exec "$0" --input-type=module --eval "$1"`;
  const child = spawn("sh", ["-c", command, process.execPath, program], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  const [code] = (await once(child, "exit")) as [number | null];
  assert.equal(code, 0);
  const { kept, refused, messages } = JSON.parse(said) as Record<string, number>;
  assert.ok((kept ?? 0) > 0 && (refused ?? 0) > 0, said);
  assert.equal(messages, kept);
  const again = await Spool.open(options);
  const stored = [...again.list(fail)];
  assert.equal(stored.length, kept);
  for (const { envelope } of stored) assert.ok(Buffer.isBuffer(await again.body(envelope)));
  await again.close();
});
