/**
 * Addresses as people write who want to get round a relay's rules. None of them reaches a route that is
 * open to strangers: trusted.test is routed for trusted clients, open.test for everyone, evil.test not at
 * all. `leaves` says what becomes of each from a trusted client.
 */

export type Spelling = {
  /** Between < and >; or the whole command line. */
  readonly path?: string;
  readonly line?: string;
  readonly utf8?: true;
  /** "refused", "trusted" (the host of trusted.test), or the one name for which DNS may be asked. */
  readonly leaves: string;
};

const long = (count: number): string => "a".repeat(count);

const refused: readonly string[] = [
  // Names that are none.
  ...[
    "evil.test..",
    ".evil.test",
    "evil..test",
    ".",
    "",
    "-evil.test",
    "evil-.test",
    "evil_x.test",
  ].map((name) => `a@${name}`),
  ...["evil/test", "evil%2etest", "ex%61mple.test", "evil.test:25", "evil.test#open.test"].map(
    (name) => `a@${name}`,
  ),
  ...["evil.test;open.test", "evil.test,open.test", "open.test?.evil.test", '"evil.test"'].map(
    (name) => `a@${name}`,
  ),
  ...[`${long(64)}.test`, `${`${long(60)}.`.repeat(4)}${long(12)}.test`, long(300)].map(
    (name) => `a@${name}`,
  ),
  ...["xn--.test", "xn--a.test", "xn--zzzzzz99999.test", "evil.xn--0.test"].map(
    (name) => `a@${name}`,
  ),
  // Numbers that a URL parser or inet_aton would take for an address.
  ...[
    "0x7f.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "127.0.0.1",
    "127.0.0.1.",
    "0177.0.0.1",
    "1.2.3.4.5",
  ].map((name) => `a@${name}`),
  // Literals, in every spelling.
  ...[
    "[127.0.0.1]",
    "[0x7f.1]",
    "[127.1]",
    "[2130706433]",
    "[0177.0.0.1]",
    "[127.0.0.01]",
    "[]",
    "[evil.test]",
  ].map((name) => `a@${name}`),
  ...[
    "[IPv6:::1]",
    "[IPv6:0:0:0:0:0:0:0:1]",
    "[ipv6:::ffff:127.0.0.1]",
    "[IPv6:::ffff:7f00:1]",
  ].map((name) => `a@${name}`),
  ...[
    "[::1]",
    "[IPv6:127.0.0.1]",
    "[IPv6:::1%lo]",
    "[IPv6:1::2::3]",
    "[x-tag:evil]",
    "[127.0.0.1].test",
  ].map((name) => `a@${name}`),
  ...["[127.0.0.1", "127.0.0.1]", "[[127.0.0.1]]", "[192.0.2.1].", "[trusted.test]"].map(
    (name) => `a@${name}`,
  ),
  // Local parts that are none.
  ...[
    "a@evil.test@trusted.test",
    "a@@evil.test",
    "@evil.test",
    "a",
    "evil.test!a",
    "a%evil.test",
    "a\\@open.test@evil.test",
  ],
  ...[
    '"a"b@evil.test',
    '"a@evil.test',
    'a"@evil.test',
    '""@evil.test',
    ".a@evil.test",
    "a.@evil.test",
    "a..b@evil.test",
  ],
  ...[
    "a(open.test)@evil.test",
    "a@evil.test(open.test)",
    "a@(open.test)evil.test",
    `${long(65)}@evil.test`,
  ],
  // Source routes that are none.
  ...[
    "@open.test:@evil.test:a@trusted.test",
    "@open.test:",
    "@open.test:a",
    "@:a@",
    "@open.test,a@evil.test",
  ],
];

const refusedUtf8: readonly string[] = [
  "a@ｅｖｉｌ．ｔｅｓｔ",
  "a@evil。test",
  "a@evil\u2024test",
  "a＠evil.test",
  "a@ev\u200bil.test",
  "a@ev\u00adil.test",
  "a@\u202etset.live",
  "a@１２７.０.０.１",
  "a@127.0.0.①",
  "a@[１２７.0.0.1]",
  "a@evil％2etest",
  "a\u00a0@evil.test",
  "a\u2028@evil.test",
];

const wholeLines: readonly string[] = [
  "RCPT TO:a@evil.test",
  "RCPT TO:<<a@evil.test>>",
  "RCPT TO:<a@open.test><a@evil.test>",
  "RCPT TO:<a@open.test>,<a@evil.test>",
  "RCPT TO:<a@open.test> <a@evil.test>",
  "RCPT TO:<a@evil.test> ORCPT=rfc822;a@open.test XYZ",
  "RCPT TO:<a@evil.test> RELAY=YES",
  "RCPT TO:<a @evil.test>",
  "RCPT TO:< a@evil.test>",
  "RCPT TO:<a@evil.test",
  "RCPT TO:a@evil.test>",
  "RCPT TO:<a@evil.test\0>",
  "RCPT TO:<a@open.test\0.evil.test>",
  "RCPT TO:<a@evil.test\t>",
  "RCPT TO:<a@evil\t.test>",
  "RCPT\tTO:<a@evil.test>",
  "RCPT TO:<a@open.test\nRCPT TO:<a@evil.test>",
  "RCPT TO:<a@evil.test\r>",
  "RCPT TO:<a@evil.test>\r.",
  "RCPT TO:<>",
  "RCPT FROM:<a@evil.test>",
  "RCPT TO:<a@[ 127.0.0.1 ]>",
  // Not ASCII, and no SMTPUTF8 was said.
  "RCPT TO:<a@ｅｖｉｌ.test>",
  "RCPT TO:<ü@trusted.test>",
];

/** Well-formed: what they name is decided by the table, for those who may send there. */
const taken: readonly (readonly [path: string, leaves: string])[] = [
  ["a@evil.test", "evil.test"],
  ["a@EVIL.TEST", "evil.test"],
  ["a@evil.test.", "evil.test"],
  ["a@open.test.evil.test", "open.test.evil.test"],
  ["a@xopen.test", "xopen.test"],
  ["a@test", "test"],
  ["postmaster@evil.test", "evil.test"],
  ['"a"@evil.test', "evil.test"],
  ['"a@open.test"@evil.test', "evil.test"],
  ['"\\a"@evil.test', "evil.test"],
  ["open.test!a@evil.test", "evil.test"],
  ["a%open.test@evil.test", "evil.test"],
  ["@open.test:a@evil.test", "evil.test"],
  ["@open.test,@trusted.test:a@evil.test", "evil.test"],
  ["a@xn--bcher-kva.test", "xn--bcher-kva.test"],
  ["a@XN--BCHER-KVA.test", "xn--bcher-kva.test"],
  ["a@trusted.test", "trusted"],
  ["a@Trusted.Test.", "trusted"],
  ["a@sub.trusted.test", "trusted"],
  ["@evil.test:a@trusted.test", "trusted"],
  ["evil.test!a@trusted.test", "trusted"],
  ["a%evil.test@trusted.test", "trusted"],
  ['"a@evil.test"@trusted.test', "trusted"],
  ["postmaster", "trusted"],
  ["POSTMASTER", "trusted"],
  ["@open.test:postmaster", "trusted"],
];

const takenUtf8: readonly (readonly [path: string, leaves: string])[] = [
  ["a@ｅｖｉｌ.test", "evil.test"],
  ["a@ＥＶＩＬ.test", "evil.test"],
  ["a@bücher.test", "xn--bcher-kva.test"],
  ["ü@evil.test", "evil.test"],
  ["a@ｔrusted.test", "trusted"],
];

export const spellings: readonly Spelling[] = [
  ...refused.map((path) => ({ path, leaves: "refused" })),
  ...refusedUtf8.map((path) => ({ path, utf8: true as const, leaves: "refused" })),
  ...wholeLines.map((line) => ({ line, leaves: "refused" })),
  ...taken.map(([path, leaves]) => ({ path, leaves })),
  ...takenUtf8.map(([path, leaves]) => ({ path, utf8: true as const, leaves })),
];

/** Without a domain, after whatever source route: for everybody (RFC 5321 section 4.5.1). */
export const isPostmaster = ({ path = "" }: Spelling): boolean =>
  /^(?:@.*:)?postmaster$/i.test(path);

export const rcptLine = ({ path, line }: Spelling): string => line ?? `RCPT TO:<${path}>`;

/** For titles and failures. */
export const shown = ({ path, line }: Spelling): string => JSON.stringify(line ?? path);
