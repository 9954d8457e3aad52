/**
 * What of a session's mail is coming in: the message that DATA or the first BDAT has begun, the chunk that is
 * being read, and the step that answers it once it is there. Owns the message's share of the memory.
 * Must not know sockets, nor how bytes become commands.
 */
import { ChunkReader } from "./chunk-reader.ts";
import { DataScanner } from "./data-scanner.ts";
import type { Dialogue } from "./dialogue.ts";
import { type BodyReader, IncomingMessage } from "./incoming-message.ts";
import type { LimitName, ListenerLimits, ReceivingBytes } from "./limits.ts";
import * as S from "./step.ts";

export type IntakeOptions = {
  readonly dialogue: Dialogue;
  readonly limits: ListenerLimits;
  readonly receiving: ReceivingBytes;
  /** Whose share of `receiving` it takes. */
  readonly network: string;
  /** A bound was met. */
  readonly exceeded: (limit: LimitName) => void;
};

export class Intake {
  readonly #options: IntakeOptions;
  /** What the parser is to fill, or has filled up to the next chunk. */
  #incoming: IncomingMessage | undefined;
  /** Of the message that comes by BDAT. */
  #reader: ChunkReader | undefined;
  /** The chunk that is being read. */
  #chunk: S.Chunk | undefined;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** Octets of the message that is coming in; undefined while none is. */
  get receivedBytes(): number | undefined {
    return this.#incoming?.bytes;
  }

  /** The client may begin to send what DATA announced. */
  data(): IncomingMessage {
    return this.#begin(new DataScanner({ bytesMax: this.#options.limits.messageBytesMax }));
  }

  /** A chunk follows, also where it will be refused: its octets are never commands. */
  chunk(chunk: S.Chunk): IncomingMessage {
    this.settle();
    this.#chunk = chunk;
    let reader = this.#reader;
    let incoming = this.#incoming;
    if (reader === undefined || incoming === undefined) {
      reader = new ChunkReader({ bytesMax: this.#options.limits.messageBytesMax });
      incoming = this.#begin(reader);
      this.#reader = reader;
    }
    if (chunk.refusal !== undefined) reader.kept.drop();
    reader.expect(chunk.octets);
    return incoming;
  }

  /** More has come in. The step is an end of it: nobody reads on so far beyond the limit. */
  receiving(): S.Step | undefined {
    if (this.#incoming?.verdict !== "runaway") return undefined;
    this.#options.exceeded("messageBytesMax");
    return this.#options.dialogue.unfit(S.C552Cut);
  }

  /** What DATA or BDAT announced has come in whole. */
  arrived(): S.Step | Promise<S.Step> {
    const { dialogue, exceeded } = this.#options;
    const incoming = this.#incoming;
    const chunk = this.#chunk;
    this.#chunk = undefined;
    // The connection has gone, and with it what was coming in.
    if (incoming === undefined) return S.C451Local;
    if (chunk?.refusal !== undefined) {
      this.release();
      return dialogue.paced(chunk.refusal);
    }
    if (incoming.verdict !== "fits") {
      exceeded(incoming.excess);
      this.release();
      return dialogue.unfit(incoming.verdict === "starved" ? S.C452Memory : S.C552Size);
    }
    if (chunk?.part === "more") return S.chunkTaken(chunk.octets);
    // From here the bytes are given back when the message is answered, connection or not.
    this.#forget();
    const answer = dialogue.message(incoming.body());
    if ("reply" in answer) {
      incoming.release();
      return answer;
    }
    return answer.finally(() => incoming.release());
  }

  /** Between commands: a message whose transaction is over does not go on. */
  settle(): void {
    if (!this.#options.dialogue.inChunks) this.release();
  }

  /** Gives the bytes of an unfinished message back; harmless when repeated. */
  release(): void {
    this.#incoming?.release();
    this.#forget();
  }

  #begin(reader: BodyReader): IncomingMessage {
    const { limits, receiving, network } = this.#options;
    const bytesMax = limits.messageBytesMax;
    this.#incoming = new IncomingMessage({ reader, bytesMax, budget: receiving, network });
    return this.#incoming;
  }

  #forget(): void {
    this.#incoming = undefined;
    this.#reader = undefined;
  }
}
