/** Bad configuration and bad surroundings: every error names the place and the mend, and ends the relay. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { stringify } from "yaml";
import { eventually } from "../ledger/relay-process.ts";
import { mailroute, root, type Said } from "./command.ts";

const bounded = { timeout: 30_000 };

describe("bad configuration", () => {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-config-"));
  after(() => rmSync(directory, { recursive: true }));
  const smtp = { name: "smtp", port: 2525 };
  const good = {
    hostname: "relay.test",
    routes: { directory: "/tmp" },
    spool: { directory: "/tmp/spool" },
    listeners: [smtp],
  };
  const check = (text: string, args: readonly string[] = ["--check"]): Said => {
    const file = join(directory, "relay.yaml");
    writeFileSync(file, text);
    return mailroute(["relay", "--config", file, ...args]);
  };

  test("configuration: the good one of this table passes", bounded, () => {
    const { code, err } = check(stringify(good));
    assert.deepEqual([code, err], [0, ""]);
  });

  const { hostname: _, ...nameless } = good;
  const { routes: __, ...routeless } = good;
  const cases: readonly (readonly [what: string, config: unknown, says: RegExp])[] = [
    ["no hostname", nameless, /: hostname: is missing, and has no default; set it$/m],
    ["no routes", routeless, /: routes: is missing/],
    ["an empty file", {}, /: hostname: is missing/],
    ["a list", [], /: the file: /],
    [
      "a hostname with a space",
      { ...good, hostname: "my relay" },
      /: hostname: is not a host name: write it like relay\.corp\.example/,
    ],
    [
      "a hostname that is a number",
      { ...good, hostname: 12 },
      /: hostname: .*(?:string|host name)/,
    ],
    [
      "a misspelt setting",
      { ...good, trustedNetwork: [] },
      /no such setting: trustedNetwork; remove it or mend its spelling/,
    ],
    [
      "a misspelt setting inside",
      { ...good, spool: { directory: "/tmp", limit: 1 } },
      /: spool: no such setting: limit/,
    ],
    ["no listeners", { ...good, listeners: [] }, /: listeners: needs at least one listener/],
    [
      "a port beyond 65535",
      { ...good, listeners: [{ ...smtp, port: 70_000 }] },
      /: listeners\.0\.port: must be 0 to 65535/,
    ],
    [
      "a listener's name in upper case",
      { ...good, listeners: [{ ...smtp, name: "SMTP" }] },
      /: listeners\.0\.name: must be a short lower-case name, like smtp/,
    ],
    [
      "two listeners of one name",
      { ...good, listeners: [smtp, smtp] },
      /: listeners: two have the same name; give each its own/,
    ],
    [
      "submission without a certificate",
      { ...good, listeners: [smtp, { name: "submissions", kind: "submissions" }] },
      /: listeners\.1\.kind: submissions needs a certificate; set tls\.certificates/,
    ],
    [
      "a network that is none",
      { ...good, trustedNetworks: ["10.0.0.0/33"] },
      /: trustedNetworks\.0: is not an address or network: write it like 192\.0\.2\.0\/24/,
    ],
    [
      "a denied network that is a name",
      { ...good, deniedNetworks: ["localhost"] },
      /: deniedNetworks\.0: is not an address or network/,
    ],
    [
      "a postmaster without domain",
      { ...good, postmaster: "me" },
      /: postmaster: is not a mail address: write it like postmaster@corp\.example/,
    ],
    [
      "a limit below its bound",
      { ...good, limits: { recipientsMax: 5 } },
      /: limits\.recipientsMax: must be at least 100/,
    ],
    [
      "a limit that is no number",
      { ...good, limits: { messageBytesMax: "50MB" } },
      /: limits\.messageBytesMax: must be a whole number from \d+ to \d+/,
    ],
    [
      "a first wait beyond the longest",
      { ...good, retry: { initialMs: 5000, maxMs: 1000 } },
      /: retry\.initialMs: is larger than retry\.maxMs; lower it/,
    ],
    [
      "a certificate without its key",
      { ...good, tls: { certificates: [{ certificateFile: "/x.pem" }] } },
      /: tls\.certificates\.0\.keyFile: is missing/,
    ],
    ["an inbound store without hosts", { ...good, inbound: { hosts: [] } }, /: inbound\.hosts: /],
    [
      "a protocol that is none",
      { ...good, inbound: { hosts: [{ host: "a" }], protocol: "IMAP" } },
      /: inbound\.protocol: .*LMTP/,
    ],
    [
      "a DNS server that is a name",
      { ...good, dns: { servers: ["dns.corp.example"] } },
      /: dns\.servers\.0: /,
    ],
    [
      "an address style that is none",
      { ...good, log: { addresses: "none" } },
      /: log\.addresses: .*full/,
    ],
  ];
  for (const [what, config, says] of cases) {
    test(`configuration: ${what} is refused with field and mend`, bounded, () => {
      const { code, err } = check(stringify(config));
      assert.match(err, says);
      for (const line of err.trimEnd().split("\n"))
        assert.match(line, /^mailroute: \S+relay\.yaml: \S/);
      assert.doesNotMatch(err, /\n {4}at /, "no stack trace");
      assert.equal(code, 1);
    });
  }

  test("start: --never-trusted takes addresses and networks only", bounded, () => {
    const { code, err } = check(stringify(good), ["--never-trusted", "192.0.2.1,node-1"]);
    assert.match(err, /--never-trusted node-1: is not an address or network/);
    assert.notEqual(code, 0);
  });

  const key = join(root, "relay/tls/fixtures/printer.key");
  test(
    "--check: reads the certificates, and says which file of which setting is wrong",
    bounded,
    () => {
      const certificateFile = join(root, "relay/tls/fixtures/many.pem");
      const { code, err } = check(
        stringify({ ...good, tls: { certificates: [{ certificateFile, keyFile: key }] } }),
      );
      assert.match(
        err,
        /: tls\.certificates\.0\.keyFile: \S+printer\.key is not the key of \S+many\.pem/,
      );
      assert.equal(code, 1);
    },
  );

  test("--check: warns of an expired certificate, and passes", bounded, () => {
    const certificateFile = join(root, "relay/tls/fixtures/expired.pem");
    const keyFile = join(root, "relay/tls/fixtures/expired.key");
    const { code, err } = check(
      stringify({ ...good, tls: { certificates: [{ certificateFile, keyFile }] } }),
    );
    assert.match(
      err,
      /: tls\.certificates\.0\.certificateFile: \S+ has expired on 2021-01-01; renew it/,
    );
    assert.equal(code, 0);
  });

  const starts: readonly (readonly [what: string, config: string, says: RegExp])[] = [
    ["what is not YAML", "hostname: [", /relay\.yaml: .*line 1/],
    [
      "a certificate that is not there",
      stringify({
        ...good,
        spool: { directory: join(directory, "spool-b") },
        tls: { certificates: [{ certificateFile: "/no/such.pem", keyFile: "/no/such.key" }] },
      }),
      /tls\.certificates\.0\.certificateFile: cannot read \/no\/such\.pem/,
    ],
    [
      "a spool where no directory can be made",
      stringify({ ...good, spool: { directory: "/dev/null/spool" } }),
      /\/dev\/null\/spool/,
    ],
    [
      "an address that is not ours",
      stringify({
        ...good,
        spool: { directory: join(directory, "spool-c") },
        routes: { directory },
        listeners: [{ ...smtp, host: "192.0.2.1" }],
      }),
      /192\.0\.2\.1/,
    ],
  ];
  for (const [what, text, says] of starts) {
    test(`start: ${what} ends it with words and exit 1`, bounded, () => {
      const { code, err } = check(text, []);
      assert.match(err, says);
      assert.doesNotMatch(err, /\n {4}at /, "no stack trace");
      assert.equal(code, 1);
    });
  }

  test(
    "start: without its routes directory it says so, waits and does not listen",
    bounded,
    async (context) => {
      const file = join(directory, "waiting.yaml");
      const routes = join(directory, "routes-later");
      const config = {
        ...good,
        routes: { directory: routes },
        spool: { directory: join(directory, "spool-waiting") },
        listeners: [{ name: "smtp", host: "127.0.0.1", port: 0 }],
        admin: { host: "127.0.0.1", port: 0 },
      };
      writeFileSync(file, stringify(config));
      const child = spawn(process.execPath, [join(root, "cli/main.ts"), "relay", "--config", file]);
      context.after(() => child.kill("SIGKILL"));
      let out = "";
      child.stdout.on("data", (chunk: Buffer) => {
        out += chunk.toString();
      });
      const said = (words: string) => async (): Promise<boolean> => out.includes(words);
      await eventually(said("routes-later"), { msMax: 30_000, what: "the missing directory" });
      assert.doesNotMatch(out, /"event":"started"/);
      mkdirSync(routes);
      await eventually(said('"event":"started"'), { msMax: 30_000, what: "started" });
    },
  );
});
