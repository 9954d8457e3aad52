/**
 * How much the spool may still take: bytes and messages by its bounds, free space on the volume, and a reserve for
 * what must be written when nothing else fits. Adapter over statfs and one file; it writes no mail.
 */
import { statfs } from "node:fs/promises";
import { Reserve } from "./reserve.ts";

export type SpoolLimits = {
  readonly bytesMax: number;
  readonly messagesMax: number;
  readonly freeBytesMin: number;
};

/**
 * What a message takes on disk beside its body: its frames, and the last block of a file. What a file that was written
 * over has behind its body is not counted.
 */
const messageOverheadBytes = 1024;
/** Its place in envelope and state, with the last reply. */
const recipientOverheadBytes = 512;
const freeCheckMs = 1000;

type Sized = { readonly bytes: number; readonly recipients: readonly unknown[] };

function costBytes(bytes: number, recipients: number): number {
  return bytes + messageOverheadBytes + recipients * recipientOverheadBytes;
}

export class Room {
  readonly #directory: string;
  readonly #limits: SpoolLimits;
  readonly #reserve: Reserve;
  readonly #timer: NodeJS.Timeout;
  #bytes = 0;
  #messages = 0;
  #freeBytes = Number.POSITIVE_INFINITY;
  #measuring: Promise<void> = Promise.resolve();

  constructor(directory: string, limits: SpoolLimits) {
    this.#directory = directory;
    this.#limits = limits;
    this.#reserve = new Reserve(directory);
    this.#timer = setInterval(() => void this.measure(), freeCheckMs);
    this.#timer.unref();
  }

  get bytes(): number {
    return this.#bytes;
  }

  get messages(): number {
    return this.#messages;
  }

  take({ bytes, recipients }: Sized): void {
    const cost = costBytes(bytes, recipients.length);
    this.#bytes += cost;
    this.#messages += 1;
    this.#freeBytes -= cost; // until it is measured again
  }

  give({ bytes, recipients }: Sized): void {
    this.#bytes -= costBytes(bytes, recipients.length);
    this.#messages -= 1;
  }

  /** For new mail. States and reports are written in any case. */
  has(bytes: number, recipients: number): boolean {
    const { bytesMax, messagesMax } = this.#limits;
    return (
      this.#bytes + costBytes(bytes, recipients) <= bytesMax &&
      this.#messages < messagesMax &&
      !this.isShort(bytes)
    );
  }

  /** The volume itself has too little space for new mail of so many octets. */
  isShort(bytes: number): boolean {
    return this.#freeBytes - bytes < this.#limits.freeBytesMin || !this.#reserve.isWhole;
  }

  /** False while there may be room for nothing but states and reports. */
  get hasReserve(): boolean {
    return this.#reserve.isWhole;
  }

  /** Gives the reserve's space back to the volume; false where it has been given. */
  async openReserve(): Promise<boolean> {
    return await this.#reserve.release();
  }

  async measure(): Promise<void> {
    this.#measuring = this.#measure();
    await this.#measuring;
  }

  async #measure(): Promise<void> {
    try {
      const { bavail, bsize } = await statfs(this.#directory);
      this.#freeBytes = bavail * bsize;
    } catch {
      this.#freeBytes = 0; // a volume that does not answer takes no new mail
    }
    await this.#reserve.fill(this.#freeBytes);
  }

  /** Nothing of it is under way when it resolves. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#measuring;
  }
}
