/** Clients that are known by their certificates, over real handshakes; and what TLS is spoken at all. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from "node:tls";
import { nameList, namesOf } from "./certificate-names.ts";
import { type Bench, startBench, TestClient } from "./dialog.testkit.ts";
import { mailContext } from "./tls-context.ts";

const read = (name: string): string =>
  readFileSync(new URL(`../tls/fixtures/${name}`, import.meta.url), "latin1");
const pemOf = (name: string) => ({ cert: read(`${name}.pem`), key: read(`${name}.key`) });
const context = mailContext({ ...pemOf("many"), clientCa: read("ca.pem") });
const clientNames = nameList(["*.clients.test", "Other.Test"]);

test("client names: exact, or one label for a leading star; a star in a certificate is no name", () => {
  const listed = nameList(["printer.test", "*.clients.test", "3rd floor"]);
  const cases: readonly (readonly [name: string, is: boolean])[] = [
    ["printer.test", true],
    ["PRINTER.TEST", true],
    ["3rd floor", true],
    ["a.clients.test", true],
    ["a.b.clients.test", false],
    ["clients.test", false],
    [".clients.test", false],
    ["*.clients.test", false],
    ["printer.test.", false],
    ["x.printer.test", false],
    ["", false],
  ];
  for (const [name, is] of cases) assert.equal(listed.has(name), is, name);
});

test("client names: DNS names count; a common name only where there are none", () => {
  const names = (file: string): readonly string[] => namesOf(new X509Certificate(read(file)));
  assert.deepEqual(names("many.pem"), ["many.test", "also.test", "*.wild.test"]);
  assert.deepEqual(names("scanner.pem"), ["scanner.clients.test"]);
  assert.deepEqual(names("unlisted.pem"), ["elsewhere.test"]);
});

async function withBench(run: (bench: Bench) => Promise<void>, implicitTls?: true): Promise<void> {
  const bench = await startBench({
    tls: { context: () => context },
    clientNames,
    ...(implicitTls && { implicitTls }),
  });
  try {
    await run(bench);
  } finally {
    await bench.listener.stop({ graceMs: 0 });
  }
}

/** Sends a message over implicit TLS; the answer is the name by which the client was known. */
async function knownAs(bench: Bench, options: ConnectionOptions): Promise<string | undefined> {
  const { port, recorder } = bench;
  const socket = tlsConnect({ port, host: "127.0.0.1", rejectUnauthorized: false, ...options });
  const client = new TestClient(port, socket);
  client.send("EHLO a.test\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n");
  for (const code of [220, 250, 250, 250, 354]) {
    assert.equal((await client.reply()).slice(0, 3), String(code));
  }
  client.send(".\r\n");
  assert.match(await client.reply(), /^250/);
  socket.destroy();
  return recorder.messages.at(-1)?.greeting.tls?.clientName;
}

const clients: readonly (readonly [
  who: string,
  name: string | undefined,
  known: string | undefined,
  log: string,
])[] = [
  ["no certificate", undefined, undefined, ""],
  ["a listed DNS name", "printer", "printer.clients.test", "trusted printer.clients.test"],
  ["a listed common name", "scanner", "scanner.clients.test", "trusted scanner.clients.test"],
  ["a wildcard for a name", "wildcard", undefined, "unlisted *.clients.test"],
  [
    "a listed common name beside another DNS name",
    "unlisted",
    undefined,
    "unlisted elsewhere.test",
  ],
  ["an expired certificate", "lapsed", undefined, "unverified printer.clients.test"],
  ["another CA's certificate", "stranger", undefined, "unverified printer.clients.test"],
];

for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
  for (const [who, name, known, log] of clients) {
    test(`client certificates: ${who} is served over ${maxVersion}, known as ${known ?? "nobody"}`, () =>
      withBench(async (bench) => {
        const certificate = name === undefined ? {} : pemOf(name);
        assert.equal(await knownAs(bench, { maxVersion, ...certificate }), known);
        const told = bench.recorder.log.filter((line) => line.startsWith("certificate"));
        assert.deepEqual(told, log === "" ? [] : [`certificate ${log}`]);
        assert.deepEqual(bench.recorder.failures, []);
      }, true));
  }

  test(`client certificates: a client that resumes its session over ${maxVersion} is known again`, () =>
    withBench(async (bench) => {
      let session: Buffer | undefined;
      const first = tlsConnect({
        port: bench.port,
        rejectUnauthorized: false,
        maxVersion,
        ...pemOf("printer"),
      });
      first.on("session", (data) => {
        session = data;
      });
      const client = new TestClient(bench.port, first);
      assert.match(await client.reply(), /^220/);
      client.send("QUIT\r\n");
      await client.end();
      assert.ok(session);
      const options = { maxVersion, session, ...pemOf("printer") };
      assert.equal(await knownAs(bench, options), "printer.clients.test");
      const again = tlsConnect({ port: bench.port, rejectUnauthorized: false, ...options });
      await once(again, "secureConnect");
      assert.equal(again.isSessionReused(), true);
      again.destroy();
    }, true));
}

for (const [who, name, answer] of [
  ["a listed certificate", "printer", "250 2.1.0"],
  ["an unlisted one", "unlisted", "530 5.7.0"],
  ["another CA's", "stranger", "530 5.7.0"],
  ["none", undefined, "530 5.7.0"],
] as const) {
  test(`client certificates: at a submission listener MAIL with ${who} is ${answer}`, async () => {
    const options = { tls: { context: () => context }, clientNames, implicitTls: true } as const;
    const bench = await startBench({ ...options, authentication: "Required" });
    const certificate = name === undefined ? {} : pemOf(name);
    const socket = tlsConnect({ port: bench.port, rejectUnauthorized: false, ...certificate });
    const client = new TestClient(bench.port, socket);
    try {
      client.send("EHLO a.test\r\nMAIL FROM:<a@x.test>\r\n");
      await client.reply();
      await client.reply();
      assert.equal((await client.reply()).slice(0, 9), answer);
    } finally {
      socket.destroy();
      await bench.listener.stop({ graceMs: 0 });
    }
  });
}

test("client certificates: after STARTTLS they count as well", () =>
  withBench(async ({ port, recorder }) => {
    const client = new TestClient(port);
    await client.reply();
    client.send("STARTTLS\r\n");
    await client.reply();
    await client.startTls(pemOf("printer"));
    client.send("EHLO a.test\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n");
    for (let i = 0; i < 4; i += 1) await client.reply();
    client.send(".\r\n");
    assert.match(await client.reply(), /^250/);
    assert.equal(recorder.messages[0]?.greeting.tls?.clientName, "printer.clients.test");
  }));

/** The end of a handshake: the suite, or why there is none. */
async function handshake(port: number, options: ConnectionOptions): Promise<string> {
  const socket: TLSSocket = tlsConnect({ port, rejectUnauthorized: false, ...options });
  try {
    return await new Promise((resolve) => {
      socket.once("secureConnect", () => resolve(socket.getCipher().standardName));
      socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });
  } finally {
    socket.destroy();
  }
}

const refusedBy = {
  version: "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION",
  suite: "ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE",
};
const offers: readonly (readonly [
  what: string,
  options: ConnectionOptions,
  end: string | RegExp,
])[] = [
  ["TLS 1.3", { minVersion: "TLSv1.3" }, "TLS_AES_256_GCM_SHA384"],
  ["TLS 1.2", { maxVersion: "TLSv1.2" }, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"],
  [
    "TLS 1.2 without forward-secret AEAD",
    { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-SHA256" },
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
  ],
  [
    "TLS 1.1",
    { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "ALL:@SECLEVEL=0" },
    refusedBy.version,
  ],
  [
    "TLS 1.0",
    { minVersion: "TLSv1", maxVersion: "TLSv1", ciphers: "ALL:@SECLEVEL=0" },
    refusedBy.version,
  ],
  [
    "a suite older than TLS 1.2",
    { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0" },
    refusedBy.suite,
  ],
  [
    "a suite without authentication",
    { maxVersion: "TLSv1.2", ciphers: "AECDH-AES256-SHA:ADH-AES256-GCM-SHA384:@SECLEVEL=0" },
    refusedBy.suite,
  ],
];

for (const [what, options, end] of offers) {
  test(`TLS: a client that offers ${what} gets ${end}`, () =>
    withBench(async ({ port }) => {
      assert.equal(await handshake(port, options), end);
    }, true));
}

test("TLS: renegotiation is refused", () =>
  withBench(async ({ port }) => {
    const socket = tlsConnect({ port, rejectUnauthorized: false, maxVersion: "TLSv1.2" });
    const client = new TestClient(port, socket);
    await client.reply();
    const error = await new Promise<Error | null>((resolve) => {
      socket.renegotiate({ rejectUnauthorized: false }, resolve);
      socket.once("error", resolve);
    });
    assert.match(String(error), /no renegotiation/i);
  }, true));
