/**
 * Pure: takes one command line out of the input. A command ends on CRLF and on nothing else
 * (RFC 5321 section 2.3.8): a bare CR, a bare LF, a NUL or any other control character inside one
 * spoils the whole line. 8-bit bytes must be UTF-8 (RFC 6531 section 3.7.1). Knows no commands.
 */
import { isUtf8 } from "node:buffer";

/** Why a line is no command. */
export type LineFault = "bareCr" | "bareLf" | "control" | "utf8" | "tooLong";

export type Line =
  | { readonly kind: "line"; readonly text: string; readonly end: number }
  | { readonly kind: "fault"; readonly fault: LineFault; readonly end: number };

const CRLF = Buffer.from("\r\n");
const PLAIN = /^[\x20-\x7e]*$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const CONTROL = /[\x00-\x1f\x7f]/;

/**
 * Reads the line that begins at `from`; `end` is the offset after its CRLF. `undefined` while no
 * CRLF has come. `lineBytesMax` counts the CRLF.
 */
export function takeLine(input: Buffer, from: number, lineBytesMax: number): Line | undefined {
  const crlf = input.indexOf(CRLF, from);
  if (crlf < 0) return undefined;
  const end = crlf + 2;
  if (end - from > lineBytesMax) return { kind: "fault", fault: "tooLong", end };
  const raw = input.toString("latin1", from, crlf);
  if (PLAIN.test(raw)) return { kind: "line", text: raw, end };
  const fault = faultOf(raw);
  if (fault !== undefined) return { kind: "fault", fault, end };
  if (!isUtf8(input.subarray(from, crlf))) return { kind: "fault", fault: "utf8", end };
  return { kind: "line", text: input.toString("utf8", from, crlf), end };
}

function faultOf(raw: string): LineFault | undefined {
  if (raw.includes("\n")) return "bareLf";
  if (raw.includes("\r")) return "bareCr";
  return CONTROL.test(raw) ? "control" : undefined;
}
