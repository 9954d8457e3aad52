/** The end of DATA, dots, faults and lengths, against an oracle that looks at one byte at a time. */
import assert from "node:assert/strict";
import { DataScanner } from "../../relay/listener/data-scanner.ts";
import { type SlowBody, slowData } from "./slow-body.ts";
import { cutsOf, type Target } from "./target.ts";

export const bodies: Target = {
  name: "bodies",
  tokens: [
    "\r\n.\r\n",
    "\r\n..\r\n",
    "\r\n.\r",
    "\n.\r\n",
    "\r\n.\n",
    "\r.\r\n",
    "MAIL FROM:<a@x.test>\r\n",
  ],
  seeds: [
    "Subject: x\r\n\r\ntext\r\n.\r\nQUIT\r\n",
    "..\r\n...\r\n.x\r\n.\r\n",
    `${"x".repeat(998)}\r\n${"..\r\n".repeat(200)}.\r\n`,
    ".\r\n",
  ],
  check(input) {
    const want = slowData(input);
    for (const pieces of cutsOf(input)) {
      const got = scanned(pieces);
      const cut = pieces.map(({ length }) => length).join(" ");
      if (want === undefined) assert.equal(got, undefined, `cut ${cut}`);
      else assert.deepEqual(got, want, `cut ${cut}`);
    }
  },
};

function scanned(pieces: readonly Buffer[]): SlowBody | undefined {
  const scanner = new DataScanner({ bytesMax: 1e9 });
  let at = 0;
  for (const piece of pieces) {
    const end = scanner.feed(piece, 0);
    if (end >= 0) {
      const { chunks, bytes, faults } = scanner.body();
      const text = Buffer.concat(chunks).toString("latin1");
      assert.equal(bytes, text.length);
      return { text, end: at + end, faults };
    }
    at += piece.length;
  }
  return undefined;
}
