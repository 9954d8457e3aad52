/**
 * What may be wrong with a body before our own header lines are put in front of it, and the same body mended:
 * pure. It looks at bytes and lines, and knows no header fields.
 */
import type { Body } from "../listener/reception.ts";
import { normaliseLines } from "./header.ts";

export type BodyFault = "bare LF" | "bare CR" | "NUL" | "leading space";

/**
 * Undefined: none. A body that begins with a space or tab would continue the header line before it (RFC 5322
 * section 2.2.3), which is ours.
 */
export function faultOf({ faults, chunks }: Body): BodyFault | undefined {
  if (faults.bareLf > 0) return "bare LF";
  if (faults.bareCr > 0) return "bare CR";
  if (faults.nul > 0) return "NUL";
  return isFolded(chunks.find(({ length }) => length > 0)) ? "leading space" : undefined;
}

/**
 * With the whole header section in the first chunk: mostly the same bytes. With a fault, lines end with CRLF and
 * NUL is gone; what begins with a space or tab has no header section, and an empty line says so, as Postfix has it.
 */
export function headFirst({ chunks }: Body, fault: BodyFault | undefined): readonly Buffer[] {
  if (fault === undefined) return firstWhole(chunks);
  const whole = Buffer.concat(chunks);
  const mended = fault === "leading space" ? whole : normaliseLines(whole);
  return isFolded(mended) ? [Buffer.concat([crlf, mended])] : [mended];
}

const crlf = Buffer.from("\r\n");
const headerEnd = Buffer.from("\r\n\r\n");

function firstWhole(chunks: readonly Buffer[]): readonly Buffer[] {
  const isWhole = chunks.length < 2 || chunks[0]?.includes(headerEnd) === true;
  return isWhole ? chunks : [Buffer.concat(chunks)];
}

const space = 0x20;
const tab = 0x09;

function isFolded(start: Uint8Array | undefined): boolean {
  return start?.[0] === space || start?.[0] === tab;
}
