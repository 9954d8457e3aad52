/** From and Sender of a message: never throws, gives only addresses that are, whatever follows the header. */
import assert from "node:assert/strict";
import { authorsOf } from "../../relay/policy/authors.ts";
import { formatAddress, parseAddress } from "../../routing/address.ts";
import type { Target } from "./target.ts";

export const authors: Target = {
  name: "authors",
  tokens: [
    "From:",
    "Sender:",
    "\r\nFrom: ",
    "\r\n ",
    "\r\n\r\n",
    "a@x.test",
    "<b@x.test>",
    '"Doe, J."',
    "group:",
    ";",
  ],
  seeds: [
    "From: a@x.test\r\nTo: b@x.test\r\n\r\ntext\r\n",
    'From: "Doe, J." <j@x.test>,\r\n (comment (nested)) b@x.test\r\nSender: c@x.test\r\n\r\n',
    "From: group: a@x.test, b@x.test;\r\n\r\n",
    "Subject: x\r\n\r\nFrom: a@x.test\r\n",
    "From: <@hop.test:a@x.test>\r\n\r\n",
  ],
  check(input) {
    const found = authorsOf(input);
    if (!found.ok) {
      assert.notEqual(found.why, "");
      return;
    }
    for (const address of found.addresses) {
      assert.deepEqual(parseAddress(formatAddress(address), { utf8: true }), address);
    }
    const header = input.indexOf("\r\n\r\n");
    if (header < 0) return;
    const other = Buffer.concat([input.subarray(0, header + 4), Buffer.from("From: z@z.test\r\n")]);
    assert.deepEqual(authorsOf(other), found, "what follows the header says nothing");
  },
};
