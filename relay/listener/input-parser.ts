/**
 * The loop between the socket's chunks and the session: hands over one command, body or chunk at a
 * time and waits while an answer is pending. Replaces smtp-server's parser, which takes a bare LF
 * for the end of a command and copies bodies byte by byte. Must not know what a command means.
 */
import { SMTPStream } from "smtp-server/lib/smtp-stream.js";
import { type LineFault, takeLine } from "./command-line.ts";
import type { IncomingMessage } from "./incoming-message.ts";

/** The session as the parser sees it. A promise makes the parser wait; it must not reject. */
export interface ParserOwner {
  /** Bytes came in, before they are looked at. */
  received(): void;
  command(line: string): Promise<void> | undefined;
  /** A line that is no command; it is skipped. */
  malformed(fault: LineFault): void;
  /** A line goes on and on after `malformed` told of it. */
  flooded(): void;
  /** More came in of what `receive` asked for, and it is not at its end. */
  receiving(incoming: IncomingMessage): void;
  /** It is in whole, the message or the chunk. */
  arrived(incoming: IncomingMessage): Promise<void> | undefined;
  /** Everything so far is answered but for a pending answer: what was said must go out now. */
  flush(): void;
  /** The parser wants more; `next` when the client has taken the replies. */
  consumed(next: () => void): void;
  /** A defect of ours came up; the session cannot go on. */
  crashed(error: unknown): void;
  /** The client will send nothing more and everything it sent was handed over. */
  ended(): void;
}

type Next = (error?: Error | null) => void;
/** What one turn came to: go on, wait for a promise, or wait for more input. */
type Turn = Promise<void> | "more" | undefined;

const CR = 13;
const NOTHING: Buffer = Buffer.alloc(0);
/** Then other connections get their turn, and the replies so far go out. */
const COMMANDS_PER_TURN = 100;
/** An over-long command is thrown away up to this many times the bytes that are allowed. */
const DISCARD_FACTOR_MAX = 64;

export class InputParser extends SMTPStream {
  readonly #owner: ParserOwner;
  readonly #commandBytesMax: number;
  #input: Buffer = NOTHING;
  #at = 0;
  #chunkBytes = 0;
  #next: Next = () => undefined;
  #incoming: IncomingMessage | undefined;
  /** Bytes of the present over-long command thrown away; -1 while there is none. */
  #discarded = -1;

  constructor(owner: ParserOwner, options: { readonly commandBytesMax: number }) {
    super();
    this.#owner = owner;
    this.#commandBytesMax = options.commandBytesMax;
  }

  /** A message or a chunk is coming in: everything up to its end belongs to it. */
  receive(incoming: IncomingMessage): void {
    this.#incoming = incoming;
  }

  /** The client has sent more than the command that is being answered. */
  get pipelined(): boolean {
    return this.#at < this.#input.length || this.writableLength > this.#chunkBytes;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding | "buffer", next: Next): void {
    if (this.isClosed) {
      next();
      return;
    }
    this.#owner.received();
    const held = this.#input;
    this.#input = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    this.#at = 0;
    this.#chunkBytes = chunk.length;
    this.#next = next;
    this.#run();
  }

  /** Called by the base class at the end of input: a command without CRLF is none. */
  override _flushData(): void {
    if (!this.isClosed) this.#owner.ended();
  }

  #run(): void {
    try {
      this.#turns();
    } catch (error) {
      this.#owner.crashed(error);
    }
  }

  #turns(): void {
    for (let turns = 0; !this.isClosed; turns += 1) {
      if (turns === COMMANDS_PER_TURN) {
        this.#owner.consumed(() => setImmediate(() => this.#run()));
        return;
      }
      const turn = this.#incoming === undefined ? this.#command() : this.#body(this.#incoming);
      if (turn === "more") {
        this.#owner.consumed(this.#next);
        return;
      }
      if (turn !== undefined) {
        this.#owner.flush();
        turn.then(
          () => this.#run(),
          (error: unknown) => this.#owner.crashed(error),
        );
        return;
      }
    }
    this.#input = NOTHING;
    this.#next();
  }

  #command(): Turn {
    const from = this.#at;
    if (from === this.#input.length) {
      this.#letGo();
      return "more";
    }
    const line = takeLine(this.#input, from, this.#commandBytesMax);
    if (line === undefined) return this.#incomplete(this.#input.subarray(from));
    this.#at = line.end;
    if (this.#discarded >= 0) {
      this.#discarded = -1;
      return undefined;
    }
    if (line.kind === "line") return this.#owner.command(line.text);
    this.#owner.malformed(line.fault);
    return undefined;
  }

  /** Keeps the beginning of a command, or throws the middle of an over-long one away. */
  #incomplete(part: Buffer): "more" {
    this.#at = 0;
    if (this.#discarded < 0 && part.length < this.#commandBytesMax) {
      // A copy, so that a few bytes do not keep the whole chunk alive.
      this.#input = Buffer.from(part);
      return "more";
    }
    if (this.#discarded < 0) {
      this.#discarded = 0;
      this.#owner.malformed("tooLong");
    }
    this.#discarded += part.length;
    this.#input = part[part.length - 1] === CR ? Buffer.from("\r") : NOTHING;
    if (this.#discarded > this.#commandBytesMax * DISCARD_FACTOR_MAX) this.#owner.flooded();
    return "more";
  }

  #body(incoming: IncomingMessage): Turn {
    const rest = incoming.feed(this.#input, this.#at);
    if (rest < 0) {
      this.#letGo();
      this.#owner.receiving(incoming);
      return "more";
    }
    this.#at = rest;
    if (rest === this.#input.length) this.#letGo(); // who takes the message may free what it came in
    this.#incoming = undefined;
    return this.#owner.arrived(incoming);
  }

  /** All of the input has been used. */
  #letGo(): void {
    this.#input = NOTHING;
    this.#at = 0;
  }
}
