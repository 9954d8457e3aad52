/** A session without socket and clocks that writes down what it is told and what it answers. */
import assert from "node:assert/strict";
import { Dialogue } from "../../relay/listener/dialogue.ts";
import { InputParser, type ParserOwner } from "../../relay/listener/input-parser.ts";
import { Intake } from "../../relay/listener/intake.ts";
import { type ListenerLimits, ReceivingBytes } from "../../relay/listener/limits.ts";
import type { Client, Reception, Transaction } from "../../relay/listener/reception.ts";
import type { Step } from "../../relay/listener/step.ts";

export type Told = {
  readonly kind: "line" | "fault" | "octets" | "reply" | "body" | "ended";
  readonly text: string;
};

/** Twice `messageBytesMax` is more than any input: where a runaway is cut off hangs on the pieces. */
export const limits: ListenerLimits = {
  messageBytesMax: 2048,
  recipientsMax: 10,
  commandBytesMax: 64,
  commandsPerSessionMax: 1e9,
  errorsMax: 1e9,
  refusedRecipientsMax: 1e9,
  sessionMsMax: 1e9,
  proxyHeaderMsMax: 1e9,
  idleMsMax: 1e9,
  lineBytesMax: 1000,
  connectionsMax: 1,
  connectionsPerClientMax: 1,
  dataBytesPerSecondMin: 0,
  dataWindowMs: 1e9,
  receivingBytesPerClientMax: 1900,
  receivingBytesMax: 1e9,
};

/** Turns of the event loop that a session of this size never takes. */
const turnsMax = 10_000;
const ok = { code: 250, status: "2.0.0", text: "ok" };
const client: Client = {
  sessionId: "fuzz",
  address: "192.0.2.1",
  port: 1,
  listener: "fuzz",
  localAddress: "192.0.2.2",
  localPort: 25,
};

class Ear implements ParserOwner {
  readonly told: Told[] = [];
  readonly parser = new InputParser(this, limits);
  readonly budget = new ReceivingBytes(limits);
  readonly #dialogue: Dialogue;
  readonly #intake: Intake;
  #verb = "";

  constructor() {
    const reception: Reception = {
      connect: () => undefined,
      mail: () => this.#transaction(),
      closed: () => undefined,
    };
    this.#dialogue = new Dialogue({
      client,
      reception,
      limits,
      hostname: "mx.test",
      startTls: false,
      authentication: undefined,
      pause: async () => undefined,
      failed: (error) => this.crashed(error),
    });
    this.#intake = new Intake({
      dialogue: this.#dialogue,
      limits,
      receiving: this.budget,
      network: "192.0.2.1",
      exceeded: () => undefined,
    });
  }

  command(line: string): Promise<void> | undefined {
    this.#tell("line", line);
    this.#verb = line.slice(0, 4).toUpperCase();
    const answer = this.#dialogue.command(line, "waiting");
    if ("octets" in answer) {
      this.#verb = "chunk";
      this.#octets = answer.octets;
      this.parser.receive(this.#intake.chunk(answer));
      return undefined;
    }
    this.#intake.settle();
    return this.#answered(answer);
  }

  malformed(fault: "bareCr"): void {
    this.#tell("fault", fault);
    this.#take(this.#dialogue.malformed(fault));
  }

  arrived(): Promise<void> | undefined {
    if (this.#verb === "chunk") this.#tell("octets", String(this.#octets));
    return this.#answered(this.#intake.arrived());
  }

  receiving(): void {
    const end = this.#intake.receiving();
    if (end !== undefined) this.#take(end);
  }

  ended(): void {
    this.#intake.release();
    this.#tell("ended", "");
  }

  crashed(error: unknown): void {
    this.#tell("ended", `crashed ${String(error)}`);
  }

  consumed(next: () => void): void {
    next();
  }

  received(): void {}
  flooded(): void {}
  flush(): void {}

  #octets = 0;

  #answered(answer: Step | Promise<Step>): Promise<void> | undefined {
    if (!("reply" in answer)) return answer.then((step) => this.#take(step));
    this.#take(answer);
    return undefined;
  }

  #take(step: Step): void {
    const { code } = step.reply;
    this.#tell("reply", code === 250 ? `250 ${this.#verb}` : String(code));
    if (step.next === "data") this.parser.receive(this.#intake.data());
    if (step.next !== "close") return;
    this.parser.isClosed = true;
    this.ended();
  }

  #transaction(): Transaction {
    return {
      accepted: ok,
      rcpt: ({ path }) => {
        if (path.startsWith("550")) return { ...ok, code: 550, status: "5.1.1" };
        return path.startsWith("slow") ? new Promise((go) => setImmediate(go, ok)) : ok;
      },
      data: () => undefined,
      message: ({ chunks, bytes, faults }) => {
        const text = Buffer.concat(chunks).toString("latin1");
        assert.equal(bytes, text.length);
        this.#tell("body", JSON.stringify({ text, faults }));
        return Promise.resolve(ok);
      },
      abort: () => undefined,
    };
  }

  #tell(kind: Told["kind"], text: string): void {
    this.told.push({ kind, text });
  }
}

/** Everything that a session was told and has answered, in order; the last is "ended". */
export async function heard(pieces: readonly Buffer[]): Promise<readonly Told[]> {
  const ear = new Ear();
  for (const piece of pieces) ear.parser.write(piece);
  ear.parser.end();
  for (let turns = 0; ear.told.at(-1)?.kind !== "ended"; turns += 1) {
    assert.ok(turns < turnsMax, "the session does not end");
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.doesNotMatch(ear.told.at(-1)?.text ?? "", /crashed/);
  assert.equal(ear.budget.used, 0, "the memory is given back");
  return ear.told;
}
