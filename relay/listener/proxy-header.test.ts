import assert from "node:assert/strict";
import { isIPv4, isIPv6 } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { crc32c } from "./crc32c.ts";
import { parseProxyHeader } from "./proxy-header.ts";

const signature = "\r\n\r\n\0\r\nQUIT\n";
const bytes = (...parts: readonly (string | readonly number[])[]): Buffer =>
  Buffer.concat(parts.map((part) => Buffer.from(part as string, "latin1")));
const length = (count: number): readonly number[] => [count >> 8, count & 255];
/** A version 2 header around a block of addresses and TLVs. */
const binary = (command: number, family: number, block: Buffer): Buffer =>
  bytes(signature, [command, family], length(block.length), [...block]);
const tlv = (type: number, value: Buffer): Buffer =>
  bytes([type], length(value.length), [...value]);

const inet = bytes([192, 0, 2, 1], [198, 51, 100, 7], length(40_000), length(25));
const v6 = (last: number): readonly number[] => [
  ...[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  last,
];
const mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 9];
const inet6 = bytes(v6(1), v6(2), length(1), length(65_535));
const unix = Buffer.alloc(216, "/run/x");

function summed(header: Buffer): Buffer {
  const whole = Buffer.concat([header, tlv(3, Buffer.alloc(4))]);
  whole.writeUInt16BE(whole.length - 16, 14);
  whole.writeUInt32BE(crc32c(whole), whole.length - 4);
  return whole;
}
const sum = summed(binary(0x21, 0x11, inet));
const damaged = Buffer.from(sum);
damaged[17] = (damaged[17] ?? 0) ^ 1;

const v4Text = "192.0.2.1:40000 198.51.100.7:25";
const v6Text = "2001:db8::1:1 2001:db8::2:65535";
const longest =
  "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";

const whole: readonly (readonly [what: string, header: Buffer, forwarded: string])[] = [
  ["v1 TCP4", bytes("PROXY TCP4 192.0.2.1 198.51.100.7 40000 25\r\n"), v4Text],
  ["v1 TCP6", bytes("PROXY TCP6 2001:db8::1 2001:DB8:0:0::2 1 65535\r\n"), v6Text],
  [
    "v1 TCP6 with mapped addresses",
    bytes("PROXY TCP6 ::ffff:192.0.2.9 ::ffff:c000:209 0 0\r\n"),
    "192.0.2.9:0 192.0.2.9:0",
  ],
  ["v1 UNKNOWN, the short form", bytes("PROXY UNKNOWN\r\n"), "own"],
  ["v1 UNKNOWN with a line of 107 bytes", bytes(longest), "own"],
  ["v1 UNKNOWN with rubbish", bytes("PROXY UNKNOWN \0\xff  x\r\n"), "own"],
  ["v2 LOCAL without addresses", binary(0x20, 0x00, Buffer.alloc(0)), "own"],
  ["v2 LOCAL with addresses to be ignored", binary(0x20, 0x11, inet), "own"],
  ["v2 LOCAL of no known family", binary(0x20, 0xff, bytes([3, 9, 9])), "own"],
  ["v2 PROXY, AF_UNSPEC", binary(0x21, 0x00, Buffer.alloc(0)), "own"],
  ["v2 PROXY, AF_UNSPEC with rubbish", binary(0x21, 0x01, bytes([3, 0, 9])), "own"],
  ["v2 PROXY, AF_INET of no transport", binary(0x21, 0x10, bytes([1])), "own"],
  ["v2 PROXY, TCP over IPv4", binary(0x21, 0x11, inet), v4Text],
  ["v2 PROXY, TCP over IPv6", binary(0x21, 0x21, inet6), v6Text],
  [
    "v2 PROXY, TCP over IPv6 with mapped addresses",
    binary(0x21, 0x21, bytes(mapped, mapped, length(7), length(8))),
    "192.0.2.9:7 192.0.2.9:8",
  ],
  ["v2 PROXY, UDP over IPv4", binary(0x21, 0x12, inet), "own"],
  ["v2 PROXY, UDP over IPv6", binary(0x21, 0x22, inet6), "own"],
  ["v2 PROXY, UNIX stream", binary(0x21, 0x31, unix), "own"],
  ["v2 PROXY, UNIX datagram", binary(0x21, 0x32, unix), "own"],
  [
    "v2 PROXY with TLVs",
    binary(0x21, 0x11, bytes([...inet], [...tlv(2, bytes("mx.test"))], [...tlv(4, bytes(""))])),
    v4Text,
  ],
  ["v2 PROXY with its checksum", sum, v4Text],
  [
    "v2 PROXY of the largest size",
    binary(0x21, 0x11, bytes([...inet], [...tlv(4, Buffer.alloc(16_384 - 16 - 12 - 3))])),
    v4Text,
  ],
];

function told(input: Buffer): string {
  const parsed = parseProxyHeader(input);
  if (parsed.kind !== "header") return parsed.kind;
  if (parsed.forwarded === undefined) return `${parsed.bytes} own`;
  const { source, destination } = parsed.forwarded;
  return `${parsed.bytes} ${source.address}:${source.port} ${destination.address}:${destination.port}`;
}

for (const [what, header, forwarded] of whole) {
  test(`PROXY header: ${what} is read at whatever byte it is cut, and nothing behind it`, () => {
    const step = header.length > 1000 ? 61 : 1;
    for (let cut = 0; cut < header.length; cut += step) {
      assert.equal(told(header.subarray(0, cut)), "more", `${cut} bytes`);
    }
    const want = `${header.length} ${forwarded}`;
    assert.equal(told(header), want);
    for (const rest of ["\r\n", "EHLO x\r\n", "\x16\x03\x01", "PROXY TCP4 "]) {
      assert.equal(told(bytes([...header], rest)), want);
    }
  });
}

/** `at`: how many bytes are enough to know it. */
const refused: readonly (readonly [what: string, input: Buffer, at: number])[] = [
  ["SMTP at once", bytes("EHLO x\r\n"), 1],
  ["TLS at once", bytes("\x16\x03\x01\x02\0"), 1],
  ["lower case", bytes("proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n"), 1],
  ["two spaces", bytes("PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n"), 33],
  ["a tab", bytes("PROXY\tTCP4"), 6],
  ["a line ended by LF", bytes("PROXY UNKNOWN\n"), 14],
  ["a line ended by CR", bytes("PROXY UNKNOWN\rX"), 15],
  ["an LF within UNKNOWN", bytes("PROXY UNKNOWN a\nb\r\n"), 16],
  ["a line of 108 bytes", bytes(longest.replace("65535\r", "655350\r")), 107],
  ["a line without end", bytes(`PROXY UNKNOWN ${"x".repeat(200)}`), 107],
  ["UNKNOWN run together", bytes("PROXY UNKNOWNS\r\n"), 16],
  ["nothing behind PROXY", bytes("PROXY \r\n"), 8],
  ["UDP4", bytes("PROXY UDP4 192.0.2.1 192.0.2.2 1 1\r\n"), 36],
  ["no ports", bytes("PROXY TCP4 192.0.2.1 192.0.2.2\r\n"), 32],
  ["five addresses", bytes("PROXY TCP4 192.0.2.1 192.0.2.2 1 1 1\r\n"), 38],
  ["a space at the end", bytes("PROXY TCP4 192.0.2.1 192.0.2.2 1 1 \r\n"), 37],
  ["a leading zero", bytes("PROXY TCP4 192.0.02.1 192.0.2.2 1 1\r\n"), 37],
  ["256 in an address", bytes("PROXY TCP4 256.0.2.1 192.0.2.2 1 1\r\n"), 36],
  ["three numbers", bytes("PROXY TCP4 192.0.2 192.0.2.2 1 1\r\n"), 34],
  ["a host name", bytes("PROXY TCP4 relay.test 192.0.2.2 1 1\r\n"), 37],
  ["IPv6 under TCP4", bytes("PROXY TCP4 ::1 ::1 1 1\r\n"), 24],
  ["IPv4 under TCP6", bytes("PROXY TCP6 192.0.2.1 192.0.2.1 1 1\r\n"), 36],
  ["mixed families", bytes("PROXY TCP6 ::1 192.0.2.1 1 1\r\n"), 30],
  ["a zone", bytes("PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n"), 33],
  ["brackets", bytes("PROXY TCP6 [::1] ::1 1 1\r\n"), 26],
  ["two double colons", bytes("PROXY TCP6 1::2::3 ::1 1 1\r\n"), 28],
  ["nine groups", bytes("PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 1\r\n"), 38],
  ["a port of 65536", bytes("PROXY TCP4 192.0.2.1 192.0.2.2 65536 1\r\n"), 40],
  ["a port with a zero in front", bytes("PROXY TCP4 192.0.2.1 192.0.2.2 025 1\r\n"), 38],
  ["a negative port", bytes("PROXY TCP4 192.0.2.1 192.0.2.2 -1 1\r\n"), 37],
  ["another binary protocol", bytes("\r\n\r\n\0\r\nQUIZ\n"), 11],
  ["a blank line", bytes("\r\nEHLO x\r\n"), 3],
  ["version 1 in binary", bytes(signature, [0x11]), 13],
  ["version 3", bytes(signature, [0x31]), 13],
  ["command 2", bytes(signature, [0x22]), 13],
  ["family 4", bytes(signature, [0x21, 0x41]), 14],
  ["transport 3", bytes(signature, [0x21, 0x13]), 14],
  ["more than 16384 bytes", bytes(signature, [0x21, 0x11], length(16_369)), 16],
  ["IPv4 of 11 bytes", binary(0x21, 0x11, inet.subarray(0, 11)), 27],
  ["IPv6 of 12 bytes", binary(0x21, 0x21, inet), 28],
  ["UNIX of 215 bytes", binary(0x21, 0x31, unix.subarray(1)), 231],
  ["a TLV without length", binary(0x21, 0x11, bytes([...inet], [4, 0])), 30],
  ["a TLV that is cut off", binary(0x21, 0x11, bytes([...inet], [4, 0, 2, 0])), 32],
  ["a checksum that does not fit", damaged, damaged.length],
  ["a checksum of 3 bytes", binary(0x21, 0x11, bytes([...inet], [3, 0, 3, 1, 2, 3])), 34],
];

for (const [what, input, at] of refused) {
  test(`PROXY header: ${what} is malformed as soon as it shows, and stays so`, () => {
    for (let cut = 0; cut <= input.length; cut += 1) {
      assert.equal(told(input.subarray(0, cut)), cut < at ? "more" : "malformed", `${cut} bytes`);
    }
    assert.equal(told(bytes([...input], "\r\nEHLO x\r\n")), "malformed");
  });
}

test("PROXY header: why it is malformed does not hang on how much more has come", () => {
  const input = bytes("PROXY TCP4 192.0.2.1\r", "x".repeat(107));
  const first = parseProxyHeader(input.subarray(0, 22));
  assert.deepEqual(first, { kind: "malformed", text: "bare CR or LF" });
  assert.deepEqual(parseProxyHeader(input), first);
});

test("CRC-32C: the check value of the catalogue, and RFC 9260's zeros", () => {
  assert.equal(crc32c(Buffer.from("123456789")), 0xe306_9283);
  assert.equal(crc32c(Buffer.alloc(32)), 0x8a91_36aa);
});

/** Section 2.1 said once more, slowly: a line is split at its CRLF, its fields are judged one by one. */
function oracle(input: string): string {
  const line = input.slice(0, 107).split("\r\n")[0] ?? "";
  if (!input.slice(0, 107).includes("\r\n") || /[\r\n]/.test(line)) return "malformed";
  const size = line.length + 2;
  const fields = line.split(" ");
  if (fields[0] !== "PROXY") return "malformed";
  if (fields[1] === "UNKNOWN") return `${size} own`;
  const isIp = { TCP4: isIPv4, TCP6: isIPv6 }[fields[1] ?? ""];
  const isPort = (text = ""): boolean => `${Number.parseInt(text, 10)}` === text && +text < 65_536;
  const [from = "", to = "", fromPort, toPort] = fields.slice(2);
  const fits = isIp?.(from) === true && isIp(to) && isPort(fromPort) && isPort(toPort);
  // Node takes a zone for a part of an address.
  return fits && !line.includes("%") && fields.length === 6 ? `${size} forwarded` : "malformed";
}

test("PROXY header: version 1 agrees with a slow reading of section 2.1 on damaged lines", () => {
  const address = fc.oneof(fc.ipV4(), fc.ipV6(), fc.constantFrom("::1", "0.0.0.0", "", "x"));
  const port = fc.oneof(fc.nat(70_000).map(String), fc.constantFrom("", "00", "+1", "1e3"));
  const word = fc.constantFrom("TCP4", "TCP6", "UNKNOWN", "TCP", "");
  const line = fc
    .tuple(word, address, address, port, port)
    .map((fields) => `PROXY ${fields.join(" ")}\r\n`);
  const damage = fc.record({
    at: fc.nat(120),
    drop: fc.constantFrom(0, 0, 1, 2),
    put: fc.constantFrom("", "", "", " ", "\r", "\n", "\r\n", "0", ":", ".", "%", "\0"),
  });
  fc.assert(
    fc.property(line, damage, (good, { at, drop, put }) => {
      const spot = at % good.length;
      const input = good.slice(0, spot) + put + good.slice(spot + drop);
      // What follows, so that no answer is "more".
      const got = told(Buffer.from(`${input}${"x".repeat(107)}`, "latin1"));
      const want = oracle(`${input}${"x".repeat(107)}`);
      assert.equal(got.replace(/^(\d+) (?!own).*/, "$1 forwarded"), want, JSON.stringify(input));
    }),
    { numRuns: 5000 },
  );
});

/** Section 2.2 said once more: what a whole header with this block comes to. */
function binaryOracle(command: number, family: number, block: Buffer): string {
  if (![0x20, 0x21].includes(command)) return "malformed";
  if (command === 0x20) return "own";
  if (family >> 4 > 3 || (family & 15) > 2) return "malformed";
  if (family >> 4 === 0 || (family & 15) === 0) return "own";
  let rest = block.subarray([0, 12, 36, 216][family >> 4]);
  if (block.length < ([0, 12, 36, 216][family >> 4] ?? 0)) return "malformed";
  while (rest.length > 0) {
    const [type, high = 0, low = 0] = rest;
    // A checksum that fits does not come about by chance.
    if (rest.length < 3 + high * 256 + low || type === 3) return "malformed";
    rest = rest.subarray(3 + high * 256 + low);
  }
  return family === 0x11 || family === 0x21 ? "forwarded" : "own";
}

test("PROXY header: version 2 agrees with a slow reading of section 2.2 on any bytes", () => {
  const command = fc.oneof(fc.constantFrom(0x20, 0x21), fc.nat(255));
  const family = fc.oneof(fc.constantFrom(0x11, 0x21, 0x12, 0x31), fc.nat(255));
  const vector = fc
    .tuple(fc.nat(8), fc.uint8Array({ maxLength: 9 }))
    .map(([type, value]) => tlv(type, Buffer.from(value)));
  const block = fc
    .tuple(
      fc.oneof(fc.constantFrom(0, 11, 12, 36, 216), fc.nat(220)),
      fc.array(vector, { maxLength: 3 }),
      fc.constantFrom(0, 0, 0, 1, 2),
    )
    .map(([size, vectors, cut]) => {
      const all = Buffer.concat([Buffer.alloc(size, 7), ...vectors]);
      return all.subarray(0, Math.max(0, all.length - cut));
    });
  fc.assert(
    fc.property(command, family, block, (cmd, fam, addresses) => {
      const header = binary(cmd, fam, addresses);
      const want = binaryOracle(cmd, fam, addresses);
      const got = told(Buffer.concat([header, bytes("EHLO x\r\n")]));
      const [size, ...kind] = got.split(" ");
      if (want === "malformed") assert.equal(got, want);
      else
        assert.equal(
          `${size} ${kind[0] === "own" ? "own" : "forwarded"}`,
          `${header.length} ${want}`,
        );
    }),
    { numRuns: 5000 },
  );
});
