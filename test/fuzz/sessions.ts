/**
 * Commands, faults and bodies of a whole session, however the input is cut, against an oracle that reads one
 * byte at a time. What is a command is never body, and the other way round.
 */
import assert from "node:assert/strict";
import { IncomingMessage } from "../../relay/listener/incoming-message.ts";
import { InputParser, type ParserOwner } from "../../relay/listener/input-parser.ts";
import { ReceivingBytes } from "../../relay/listener/limits.ts";
import { type SlowBody, slowData } from "./slow-body.ts";
import { cutsOf, type Target } from "./target.ts";

const limits = { commandBytesMax: 32, messageBytesMax: 300 };
const budget = { receivingBytesMax: 1e9, receivingBytesPerClientMax: 1e9 };
/** Turns of the event loop that a session of this size never takes. */
const turnsMax = 10_000;

export const sessions: Target = {
  name: "sessions",
  tokens: [
    "DATA\r\n",
    "NOOP\r\n",
    "slow\r\n",
    "x".repeat(31),
    "\r\n.\r\nNOOP\r\n",
    "RCPT TO:<b@x.test>\r\n",
  ],
  seeds: [
    "EHLO x\r\nDATA\r\nSubject: x\r\n\r\n..\r\n.\r\nNOOP\r\nDATA\r\n.\r\nQUIT\r\n",
    "slow\r\nDATA\r\na\r\n.\r\nslow\r\nNOOP",
    `NOOP\r\n${"x".repeat(30)}\r\n${"x".repeat(31)}\r\nNOOP\r\n`,
    "NOOP\r\n".repeat(220),
    `DATA\r\n${"0123456789\r\n".repeat(30)}.\r\nNOOP\r\n`,
  ],
  async check(input) {
    const want = slowSession(input);
    for (const pieces of cutsOf(input)) {
      const cut = pieces.map(({ length }) => length).join(" ");
      assert.deepEqual(await heard(pieces), want, `cut ${cut}`);
    }
  },
};

/** RFC 5321 sections 2.3.8 and 4.5.3.1.4, RFC 6531 section 3.7.1. */
function slowSession(input: Buffer): string[] {
  const told: string[] = [];
  let line = "";
  for (let at = 0; at < input.length; ) {
    line += String.fromCharCode(input[at] ?? 0);
    at += 1;
    if (!line.endsWith("\r\n")) continue;
    const said = slowLine(line);
    line = "";
    told.push(said);
    if (said !== "command DATA") continue;
    const body = slowData(input, at);
    if (body === undefined) return [...told, "ended"];
    told.push(bodyText(body));
    at = body.end;
  }
  return [...told, ...(line.length >= limits.commandBytesMax ? ["fault tooLong"] : []), "ended"];
}

function slowLine(line: string): string {
  const text = line.slice(0, -2);
  if (line.length > limits.commandBytesMax) return "fault tooLong";
  if (text.includes("\n")) return "fault bareLf";
  if (text.includes("\r")) return "fault bareCr";
  for (const char of text) if (char < " " || char === "\x7f") return "fault control";
  try {
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return `command ${decoder.decode(Buffer.from(text, "latin1"))}`;
  } catch {
    return "fault utf8";
  }
}

function bodyText({ text, faults }: Pick<SlowBody, "text" | "faults">): string {
  return text.length > limits.messageBytesMax
    ? `too big, ${text.length}`
    : `body ${JSON.stringify({ text, faults })}`;
}

/** Takes what the parser hands over; a command DATA begins a message, "slow" takes a while. */
class Ear implements ParserOwner {
  readonly told: string[] = [];
  readonly parser = new InputParser(this, limits);
  readonly #budget = new ReceivingBytes(budget);

  command(line: string): Promise<void> | undefined {
    this.told.push(`command ${line}`);
    if (line === "DATA") {
      const bytesMax = limits.messageBytesMax;
      this.parser.receiveData(
        new IncomingMessage({ bytesMax, budget: this.#budget, network: "192.0.2.1" }),
      );
    }
    return line === "slow" ? new Promise((resolve) => setImmediate(resolve)) : undefined;
  }

  malformed(fault: string): void {
    this.told.push(`fault ${fault}`);
  }

  message(incoming: IncomingMessage): undefined {
    if (incoming.verdict === "fits") {
      const { chunks, faults } = incoming.body();
      this.told.push(bodyText({ text: Buffer.concat(chunks).toString("latin1"), faults }));
    } else {
      this.told.push(`too big, ${incoming.bytes}`);
    }
    incoming.release();
    assert.equal(this.#budget.used, 0);
  }

  consumed(next: () => void): void {
    next();
  }

  ended(): void {
    this.told.push("ended");
  }

  crashed(error: unknown): void {
    this.told.push(`crashed ${String(error)}`, "ended");
  }

  received(): void {}
  receiving(): void {}
  flooded(): void {}
  flush(): void {}
}

async function heard(pieces: readonly Buffer[]): Promise<readonly string[]> {
  const ear = new Ear();
  for (const piece of pieces) ear.parser.write(piece);
  ear.parser.end();
  for (let turns = 0; ear.told.at(-1) !== "ended"; turns += 1) {
    assert.ok(turns < turnsMax, `no end after ${ear.told.join(", ")}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return ear.told;
}
