/**
 * Pure: bodies of messages read one byte at a time, as RFC 5321 sections 4.1.1.4 and 4.5.2 say it. Shares no
 * code with what it is compared to.
 */
import type { Body } from "../../relay/listener/reception.ts";

export type SlowBody = {
  /** As latin1, dots taken out. */
  readonly text: string;
  /** Offset after the end of DATA. */
  readonly end: number;
  readonly faults: Body["faults"];
};

/** Reads DATA from offset `from`; undefined where its end has not come. */
export function slowData(input: Buffer, from = 0): SlowBody | undefined {
  let text = "";
  let isLineStart = true;
  for (let at = from; at < input.length; at += 1) {
    const char = String.fromCharCode(input[at] ?? 0);
    if (isLineStart && char === ".") {
      if (input[at + 1] === 13 && input[at + 2] === 10)
        return { text, end: at + 3, faults: slowFaults(text) };
      isLineStart = false;
      continue;
    }
    text += char;
    // A dot that was taken out stands between CR and LF as any other byte does.
    isLineStart = char === "\n" && at > from && input[at - 1] === 13;
  }
  return undefined;
}

export function slowFaults(text: string): Body["faults"] {
  const faults = { bareCr: 0, bareLf: 0, nul: 0, longestLine: 0 };
  let lineBytes = 0;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    const isCrlf = char === "\n" && text[at - 1] === "\r";
    if (char === "\r" && text[at + 1] !== "\n") faults.bareCr += 1;
    if (char === "\n" && !isCrlf) faults.bareLf += 1;
    if (char === "\0") faults.nul += 1;
    if (char === "\n") {
      faults.longestLine = Math.max(faults.longestLine, isCrlf ? lineBytes - 1 : lineBytes);
      lineBytes = 0;
    } else {
      lineBytes += 1;
    }
  }
  return { ...faults, longestLine: Math.max(faults.longestLine, lineBytes) };
}
