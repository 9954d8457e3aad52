/** MAIL and RCPT: never throws, and no path carries what could end it or its line. */
import assert from "node:assert/strict";
import { isUtf8 } from "node:buffer";
import { parseMail, parseRcpt } from "../../relay/listener/command.ts";
import type { Target } from "./target.ts";

export const commands: Target = {
  name: "commands",
  tokens: [
    "FROM:",
    "TO:",
    "<a@x.test>",
    '<"a b"@x.test>',
    "<>",
    " SIZE=10",
    " BODY=8BITMIME",
    " SMTPUTF8",
  ],
  seeds: [
    "FROM:<a@x.test> SIZE=10 BODY=8BITMIME SMTPUTF8",
    'TO:<"a>b@c\\"d"@x.test>',
    "TO:<@hop.test,@hop2.test:b@x.test>",
    "FROM:<> BODY=7BIT",
    "FROM:<j\xc3\xbcrgen@x.test> SMTPUTF8",
  ],
  check(input) {
    if (!isUtf8(input)) return;
    const text = input.toString();
    const found = [
      parseMail(text, { messageBytesMax: 1000 }),
      parseRcpt(text, { smtputf8: false }),
      parseRcpt(text, { smtputf8: true }),
    ];
    for (const command of found) {
      if ("reply" in command) {
        assert.ok(command.reply.code >= 500, "only refusals");
        continue;
      }
      const { path } = command;
      assert.ok(text.includes(`<${path}>`), "a path stands in the command as it is");
      assert.doesNotMatch(path.replaceAll(/"(?:[^"\\]|\\.)*"/gs, ""), /[<>\s"\\]/);
    }
  },
};
