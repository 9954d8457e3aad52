/**
 * What a misbehaving next hop can do, for tests: `[STAGE-]WHAT[-CODE[-STATUS]]`, as it stands in a local
 * part. Here is the grammar and what each WHAT puts on the wire; when it is done is the server's matter.
 *
 *   perm, temp, say    the reply CODE STATUS (550, 451; `say` has no default of its own)
 *   plain, bare        the same without enhanced status; without any text
 *   multi, mixed       in two lines; in two lines of different codes
 *   split, slow        in two segments; later
 *   lf, utf8, latin1   with a bare LF; with UTF-8 in it; with bytes that are no UTF-8
 *   long, rush         with 2000 characters; with a 250 that nobody asked for behind it
 *   twice              the right reply, twice: the second comes before its command
 *   garbage, binary    no reply; bytes above 127 and NULs
 *   endless, line      continuation lines without end; one line without end
 *   drip, open, cut    a continuation line now and then; the first of two lines; half a code and the end
 *   drop, reset, half  the connection is closed; reset; closed for writing only
 *   lose               the message is kept, then the connection is closed
 *   hang               nothing more is said
 */

export type Manner = {
  readonly stage: string;
  readonly what: string;
  readonly code: number;
  readonly status: string;
};

/** What a session can do with its connection. */
export type Voice = {
  write(bytes: string | Buffer): void;
  /** Closes without a word. */
  drop(): void;
  reset(): void;
  /** After what was written has gone; the other direction stays open. */
  end(): void;
  /** Hears nothing more. */
  mute(): void;
  /** Every so many milliseconds until the connection is gone. */
  repeat(everyMs: number, action: () => void): void;
};

const texts = ["perm", "temp", "say", "plain", "bare", "multi", "split", "slow", "lf", "utf8"];
const replies = [...texts, "latin1", "long", "rush", "twice"];
const others = ["mixed", "garbage", "binary", "endless", "line", "drip", "open", "cut"];
const ends = ["drop", "reset", "half", "lose", "hang"];
const whats = [...replies, ...others, ...ends].join("|");
const manners = new RegExp(
  `^(?:(data|body|final)-)?(${whats})(?:-(\\d{3}))?(?:-(\\d\\.\\d{1,3}\\.\\d{1,3}))?(?:[.+-].*)?$`,
);

export function mannerOf(text: string): Manner | undefined {
  const match = manners.exec(text);
  if (match === null) return undefined;
  const [, stage = "", what = "", code, status] = match;
  const plain = what === "temp" ? 451 : 550;
  const number = Number(code ?? plain);
  return { stage, what, code: number, status: status ?? `${Math.floor(number / 100)}.0.0` };
}

/** Whether whoever has this manner is served after all. */
export function takes(manner: Manner | undefined): boolean {
  if (manner === undefined || ["twice", "lose"].includes(manner.what)) return true;
  if (manner.what === "slow" || manner.what === "rush") return manner.code === 550;
  return replies.includes(manner.what) && manner.code < 400;
}

const pause = async (ms: number): Promise<void> =>
  await new Promise((resolve) => setTimeout(resolve, ms));

/** Does it; `reply` is what would be said otherwise, without CRLF. */
export async function perform(manner: Manner, voice: Voice, reply: string): Promise<void> {
  const { code, status, what } = manner;
  const text = `${code} ${status} as you asked`;
  switch (what) {
    case "slow":
      await pause(100);
      return voice.write(`${reply}\r\n`);
    case "twice":
      return voice.write(`${reply}\r\n${reply}\r\n`);
    case "rush":
      return voice.write(`${reply}\r\n250 2.0.0 kept already\r\n`);
    case "split":
      voice.write(text.slice(0, 2));
      await pause(30);
      return voice.write(`${text.slice(2)}\r\n`);
    case "garbage":
      return voice.write("ja bitte?\u0000\r\n");
    case "binary":
      return voice.write(Buffer.from([0x16, 3, 1, 0, 0xff, 0xfe, 0, 0x80, 0x0d, 0x0a]));
    case "mixed":
      return voice.write(`250-2.0.0 yes\r\n${text}\r\n`);
    case "reset":
      await pause(30);
      return voice.reset();
    default:
      if (replies.includes(what)) sayText(manner, voice);
      else misbehave(manner, voice);
  }
}

function sayText({ code, status, what }: Manner, voice: Voice): void {
  const says: Readonly<Record<string, string | Buffer>> = {
    plain: `${code} as you asked\r\n`,
    bare: `${code}\r\n`,
    multi: `${code}-${status} as you\r\n${code} ${status} asked\r\n`,
    lf: `${code} ${status} as you asked\n`,
    utf8: `${code} ${status} wie gewünscht ✉\r\n`,
    latin1: Buffer.from(`${code} ${status} wie gew\u00fcnscht\r\n`, "latin1"),
    long: `${code} ${status} ${"as you asked ".repeat(160)}\r\n`,
  };
  voice.write(says[what] ?? `${code} ${status} as you asked: ${what}\r\n`);
  if (code === 421) voice.end();
}

function misbehave({ code, status, what }: Manner, voice: Voice): void {
  voice.mute();
  if (what === "drop" || what === "lose") voice.drop();
  else if (what === "half") voice.end();
  else if (what === "endless") voice.repeat(1, () => voice.write(`250-${"more ".repeat(200)}\r\n`));
  else if (what === "line") voice.repeat(1, () => voice.write("more ".repeat(200)));
  else if (what === "drip") voice.repeat(100, () => voice.write(`${code}-${status} wait\r\n`));
  else if (what === "open") voice.write(`${code}-${status} as you\r\n`);
  else if (what === "cut") {
    voice.write(String(code).slice(0, 2));
    voice.end();
  }
}
