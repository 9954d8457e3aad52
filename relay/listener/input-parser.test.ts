/** The parser without a socket: what it hands over must not depend on how the input is cut. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DataScanner } from "./data-scanner.ts";
import { IncomingMessage } from "./incoming-message.ts";
import { InputParser, type ParserOwner } from "./input-parser.ts";
import { ReceivingBytes } from "./limits.ts";

/** Writes down what the parser hands over; DATA begins a message; `slow` commands take a while. */
class Notes implements ParserOwner {
  readonly lines: string[] = [];
  readonly parser = new InputParser(this, { commandBytesMax: 32 });
  readonly #budget = new ReceivingBytes({
    receivingBytesMax: 1e9,
    receivingBytesPerClientMax: 1e9,
  });

  command(line: string): Promise<void> | undefined {
    this.lines.push(line);
    if (line === "DATA") {
      const network = "192.0.2.1";
      const incoming = new IncomingMessage({
        reader: new DataScanner({ bytesMax: 1000 }),
        bytesMax: 1000,
        budget: this.#budget,
        network,
      });
      this.parser.receive(incoming);
    }
    return line === "slow" ? new Promise((resolve) => setImmediate(resolve)) : undefined;
  }

  arrived(incoming: IncomingMessage): undefined {
    this.lines.push(`body ${Buffer.concat(incoming.body().chunks).toString("latin1")}`);
  }

  malformed(fault: string): void {
    this.lines.push(`fault ${fault}`);
  }

  consumed(next: () => void): void {
    next();
  }

  ended(): void {
    this.lines.push("ended");
  }

  crashed(error: unknown): void {
    this.lines.push(`crashed ${String(error)}`);
  }

  received(): void {}
  receiving(): void {}
  flooded(): void {}
  flush(): void {}
}

async function notesOf(pieces: readonly Buffer[]): Promise<string[]> {
  const notes = new Notes();
  for (const piece of pieces) notes.parser.write(Buffer.from(piece));
  notes.parser.end();
  for (let i = 0; i < 1000 && notes.lines.at(-1) !== "ended"; i += 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  return notes.lines;
}

test("InputParser: hands over commands, faults and bodies in order, and no unfinished line", async () => {
  const input = [
    "EHLO x\r\n",
    "one\ntwo\r\n",
    "one\rtwo\r\n",
    "nul\0\r\n",
    "\xff\r\n",
    `${"x".repeat(30)}\r\n`,
    `${"x".repeat(31)}\r\n`,
    "DATA\r\nbody\r\n..\r\n.\r\n",
    "slow\r\nafter\r\nunfinished",
  ].join("");
  assert.deepEqual(await notesOf([Buffer.from(input, "latin1")]), [
    "EHLO x",
    "fault bareLf",
    "fault bareCr",
    "fault control",
    "fault utf8",
    "x".repeat(30),
    "fault tooLong",
    "DATA",
    "body body\r\n.\r\n",
    "slow",
    "after",
    "ended",
  ]);
});

test("InputParser: however the input is cut, the same is handed over", async () => {
  const part = fc.oneof(
    fc.constantFrom("NOOP\r\n", "slow\r\n", "\r\n", "\r", "\n", "DATA\r\n", ".\r\n", "\r\n.\r\n"),
    fc.constantFrom("a\r\n..b\r\n", "x".repeat(31), "x".repeat(32), "ü\r\n", "\0"),
    fc.string({ maxLength: 50 }),
  );
  const property = fc.asyncProperty(
    fc.array(part, { maxLength: 25 }),
    fc.infiniteStream(fc.integer({ min: 1, max: 40 })),
    async (parts, sizes) => {
      const input = Buffer.from(parts.join(""));
      const pieces: Buffer[] = [];
      for (let at = 0; at < input.length; ) {
        const size = sizes.next().value;
        pieces.push(input.subarray(at, at + size));
        at += size;
      }
      const whole = await notesOf([input]);
      assert.deepEqual(await notesOf(pieces), whole);
      assert.equal(whole.at(-1), "ended");
    },
  );
  await fc.assert(property, { numRuns: 300 });
});

test("InputParser: three hundred commands in one chunk let others have a turn", async () => {
  const notes = new Notes();
  notes.parser.write(Buffer.from("NOOP\r\n".repeat(300)));
  assert.equal(notes.lines.length, 100);
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(notes.lines.length, 300);
});
