import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { connect as tlsConnect } from "node:tls";
import { startBench } from "../listener/dialog.testkit.ts";
import { checkCertificates, watchCertificates } from "./certificates.ts";
import { chooseByName } from "./name-choice.ts";
import type { Fault } from "./watched-files.ts";

const fixture = (name: string): string => join(import.meta.dirname, "fixtures", name);
const pair = (name: string) => ({
  certificateFile: fixture(`${name}.pem`),
  keyFile: fixture(`${name}.key`),
});
const missing = fixture("no-such.pem");
const now = Date.UTC(2026, 0, 1);

type Config = Parameters<typeof checkCertificates>[0];
const checks: readonly (readonly [
  what: string,
  config: Config,
  faults: string[],
  warnings?: string[],
])[] = [
  ["pairs that fit", { certificates: [pair("many"), pair("printer")] }, []],
  [
    "a certificate that is not there",
    { certificates: [pair("many"), { ...pair("many"), certificateFile: missing }] },
    [`tls.certificates.1.certificateFile: cannot read ${missing}: ENOENT`],
  ],
  [
    "a key that is not there",
    { certificates: [{ ...pair("many"), keyFile: missing }] },
    [`tls.certificates.0.keyFile: cannot read ${missing}: ENOENT`],
  ],
  [
    "the key of another certificate",
    { certificates: [{ ...pair("many"), keyFile: fixture("printer.key") }] },
    [
      `tls.certificates.0.keyFile: ${fixture("printer.key")} is not the key of ${fixture("many.pem")}`,
    ],
  ],
  [
    "a key of another kind",
    { certificates: [{ ...pair("many"), keyFile: fixture("rsa.key") }] },
    [`tls.certificates.0.keyFile: ${fixture("rsa.key")} is not the key of`],
  ],
  [
    "a key under a passphrase",
    { certificates: [{ ...pair("many"), keyFile: fixture("locked.key") }] },
    [`tls.certificates.0.keyFile: ${fixture("locked.key")} holds no private key in PEM without a`],
  ],
  [
    "files the wrong way round",
    { certificates: [{ certificateFile: fixture("many.key"), keyFile: fixture("many.pem") }] },
    [`tls.certificates.0.certificateFile: ${fixture("many.key")} holds no certificate in PEM`],
  ],
  [
    "a certificate that has expired",
    { certificates: [pair("expired")] },
    [],
    [
      `tls.certificates.0.certificateFile: ${fixture("expired.pem")} has expired on 2021-01-01; renew it`,
    ],
  ],
  [
    "a CA that is not there",
    { certificates: [pair("many")], clientCertificates: { caFile: missing, names: ["a.test"] } },
    [`tls.clientCertificates.caFile: cannot read ${missing}: ENOENT`],
  ],
  [
    "a CA that is a key",
    {
      certificates: [pair("many")],
      clientCertificates: { caFile: fixture("many.key"), names: ["a.test"] },
    },
    [`tls.clientCertificates.caFile: ${fixture("many.key")} does not hold certificates in PEM`],
  ],
  [
    "all at once",
    {
      certificates: [
        { ...pair("many"), keyFile: missing },
        { ...pair("many"), keyFile: missing },
      ],
    },
    ["tls.certificates.0.keyFile: cannot read", "tls.certificates.1.keyFile: cannot read"],
  ],
];

for (const [what, config, faults, warnings = []] of checks) {
  test(`certificates: ${what}: ${faults.length > 0 ? "refused" : "taken"}, with setting and file`, async () => {
    const found = await checkCertificates(config, now);
    const texts = (list: readonly Fault[]): string[] =>
      list.map(({ where, text }) => `${where}: ${text}`);
    for (const [index, text] of texts(found.faults).entries()) {
      assert.ok(text.startsWith(faults[index] ?? "nothing"), text);
    }
    assert.equal(found.faults.length, faults.length);
    assert.deepEqual(texts(found.warnings), warnings);
    const started = watchCertificates({
      config,
      now: () => now,
      events: { loaded() {}, faults() {} },
    });
    if (faults.length === 0) (await started).stop();
    else await assert.rejects(started, new RegExp(`^Error: ${faults[0]?.split(":")[0]}: `));
  });
}

test("certificates: a name leads to its certificate, a wildcard covers one label, the first is for the rest", () => {
  const first = { id: "first", names: ["first.test"] };
  const choose = chooseByName([
    first,
    { id: "wild", names: ["*.wild.test", "wild.test"] },
    { id: "exact", names: ["a.wild.test", "wild.test"] },
  ]);
  const cases: readonly (readonly [name: string | undefined, id: string])[] = [
    [undefined, "first"],
    ["first.test", "first"],
    ["FIRST.test.", "first"],
    ["b.wild.test", "wild"],
    ["a.wild.test", "exact"],
    ["A.WILD.TEST", "exact"],
    ["wild.test", "wild"],
    ["a.b.wild.test", "first"],
    [".wild.test", "first"],
    ["elsewhere.test", "first"],
    ["", "first"],
    ["constructor", "first"],
  ];
  for (const [name, id] of cases) assert.equal(choose(name).id, id, String(name));
});

/** The common name that a client is shown. */
async function shownAt(port: number, servername?: string): Promise<string> {
  const options = { port, host: "127.0.0.1", rejectUnauthorized: false };
  const socket = tlsConnect({ ...options, ...(servername !== undefined && { servername }) });
  await once(socket, "secureConnect");
  const shown = String(socket.getPeerCertificate().subject.CN);
  socket.destroy();
  return shown;
}

async function until(true_: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !true_(); i += 1) await wait(5);
  assert.ok(true_());
}

async function watching(context: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-certificates-"));
  const put = (fixtureName: string, name: string): void =>
    copyFileSync(fixture(fixtureName), join(directory, name));
  const at = (name: string) => ({
    certificateFile: join(directory, `${name}.pem`),
    keyFile: join(directory, `${name}.key`),
  });
  for (const [name, from] of [
    ["a", "many"],
    ["b", "printer"],
  ] as const) {
    put(`${from}.pem`, `${name}.pem`);
    put(`${from}.key`, `${name}.key`);
  }
  const told: Fault[][] = [];
  const loaded: string[] = [];
  const tls = await watchCertificates({
    config: { certificates: [at("a"), at("b")] },
    now: () => now,
    lookMs: 10,
    events: {
      loaded: (_files, { names }) => loaded.push(names.join(" ")),
      faults: (faults) => told.push([...faults]),
    },
  });
  const bench = await startBench({ tls, implicitTls: true });
  context.after(async () => {
    tls.stop();
    await bench.listener.stop({ graceMs: 0 });
    rmSync(directory, { recursive: true });
  });
  return { ...bench, directory, put, told, loaded, last: () => told.at(-1) ?? [] };
}

test("certificates: clients get theirs by SNI over real TLS", async (context) => {
  const { port, loaded } = await watching(context);
  assert.deepEqual(loaded, ["many.test also.test *.wild.test", "printer.clients.test"]);
  assert.equal(await shownAt(port, "printer.clients.test"), "printer.clients.test");
  assert.equal(await shownAt(port, "also.test"), "many.test");
  assert.equal(await shownAt(port, "x.wild.test"), "many.test");
  assert.equal(await shownAt(port, "nobody.test"), "many.test");
  assert.equal(await shownAt(port), "many.test");
});

test("certificates: half a swap, a broken or a vanished file keep the old pair and say so until it is mended", async (context) => {
  const { port, put, last, loaded, directory } = await watching(context);
  put("expired.pem", "b.pem");
  await until(() => last()[0]?.text.includes("is not the key of") === true);
  assert.equal(last()[0]?.where, "tls.certificates.1.keyFile");
  assert.match(last()[0]?.text ?? "", /; what was there before stays in force$/);
  assert.equal(await shownAt(port, "printer.clients.test"), "printer.clients.test");
  put("expired.key", "b.key");
  await until(() => last()[0]?.text.includes("has expired") === true);
  assert.equal(last().length, 1);
  assert.equal(await shownAt(port, "expired.test"), "expired.test");
  assert.equal(await shownAt(port, "printer.clients.test"), "many.test", "now nobody's name");
  assert.deepEqual(loaded.slice(2), ["expired.test"], "the other pair is not loaded again");

  writeFileSync(join(directory, "a.pem"), "");
  await until(() => last().some(({ text }) => text.includes("holds no certificate")));
  assert.equal(await shownAt(port), "many.test");
  rmSync(join(directory, "a.pem"));
  await until(() => last().some(({ text }) => text.includes("cannot read")));
  assert.equal(await shownAt(port), "many.test");
  put("many.pem", "a.pem");
  await until(() => last().every(({ text }) => text.includes("has expired")));
});
