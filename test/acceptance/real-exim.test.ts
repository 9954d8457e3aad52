/**
 * Exim as a next hop, with its defaults, which are strict: it drops who speaks out of turn. Its own next hop is a
 * sink, where every octet is compared.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import {
  eventually,
  hostsRoute,
  type RelayProcess,
  relayProcess,
} from "../ledger/relay-process.ts";
import { skipReason } from "../peers/debian.ts";
import { type Exim, ensureExim, startExim } from "../peers/exim.ts";
import { type Tap, tapTo } from "../peers/tap.ts";
import { idIn } from "./client.ts";
import { type Hosts, logged, startHosts, untilLogged } from "./hosts.ts";
import { octetLetters } from "./octets.ts";
import {
  assertOctets,
  bigLetter,
  bothEmpty,
  envelopesAt,
  handAllOctets,
  handTo,
  reportAt,
  reportsAt,
  told,
  untilSaid,
} from "./peer-mail.ts";
import type { Report } from "./report.ts";

const hopFixtures = join(import.meta.dirname, "../../relay/delivery/fixtures");
const retry = { initial: "1s", max: "1s" };
const sizeBytesMax = 1_000_000;
const program = await ensureExim();
const skip = skipReason(program);

describe("Exim as a next hop", { skip, timeout: 240_000 }, () => {
  let hosts: Hosts;
  let exim: Exim;
  let tap: Tap;
  let relay: RelayProcess;

  before(async () => {
    hosts = await startHosts(["far", "home"]);
    exim = await startExim({
      program,
      certificateFile: join(hopFixtures, "hop.pem"),
      keyFile: join(hopFixtures, "hop.key"),
      nextHopPort: String(hosts.sink("far").port),
      settings: [`message_size_limit = ${sizeBytesMax}`, "dsn_advertise_hosts = *"],
      recipientRules: [
        "deny message = nobody of that name",
        "  local_parts = unknown",
        "defer message = Greylisted, come again",
        "  local_parts = early",
        `  condition = \${if exists{SCRATCH/through}{no}{yes}}`,
        "deny message = log in first",
        "  local_parts = login",
        "  !authenticated = *",
      ],
      authenticators: [
        "plain:",
        "  driver = plaintext",
        "  public_name = PLAIN",
        "  server_prompts = :",
        `  server_condition = \${if and {{eq{$auth2}{relay}}{eq{$auth3}{pass word}}}}`,
        "  server_set_id = $auth2",
        `  server_advertise_condition = \${if def:tls_in_cipher}`,
      ],
    });
    tap = await tapTo(exim.port);
    relay = relayProcess();
    const secret = (name: string, stringData: object): object => ({
      apiVersion: "v1",
      kind: "Secret",
      metadata: {
        name,
        namespace: "mail",
        annotations: { "mailroute.dev/hosts": `127.0.0.1:${exim.port}` },
      },
      stringData,
    });
    relay.routes("all.yaml", [
      hostsRoute("far", { domains: ["far.test"] }, [{ host: "127.0.0.1", port: tap.port }], {
        retry,
      }),
      hostsRoute(
        "login",
        { addresses: ["login@far.test"] },
        [{ host: "127.0.0.1", port: exim.port }],
        {
          tls: { mode: "Verified", serverName: "hop.test", caSecretRef: { name: "ca" } },
          auth: { secretRef: { name: "login" } },
          retry,
        },
      ),
      secret("ca", { "ca.crt": readFileSync(join(hopFixtures, "ca.pem"), "utf8") }),
      secret("login", { username: "relay", password: "pass word" }),
      hostsRoute("home", { domains: ["home.test"] }, hosts.target("home")),
    ]);
    await relay.start();
  });

  after(async () => {
    await relay?.close();
    await tap?.close();
    await exim?.close();
    await hosts?.close();
  });

  const settled = (): Promise<void> => bothEmpty(relay, exim);
  const reportTo = (host: string, sender: string): Promise<Report> =>
    reportAt(hosts, host, sender, settled);

  test("Exim: finds nothing to object to in how we pipeline, and hands on every octet", async () => {
    const to = ["<a@far.test>", "<b@far.test>"];
    await handAllOctets(relay.port(), to);
    await settled();
    assertOctets(hosts, to);
    const envelope =
      /^MAIL FROM:<octets@home\.test> SIZE=\d+ BODY=8BITMIME\r\n(?:RCPT TO:.*\r\n){2}DATA\r\n$/;
    const pieces = tap.pieces.filter(({ from, text }) => from === "client" && envelope.test(text));
    assert.equal(pieces.length, octetLetters.length);
    assert.ok(!/synchronization error|protocol error/.test(exim.log()), exim.log());
  });

  test("Exim: unknown and greylisted recipients do not hold up the others", async () => {
    const to = ["<a@far.test>", "<unknown@far.test>", "<early@far.test>", "<b@far.test>"];
    const id = idIn(await handTo(relay.port(), { from: "mixed@home.test", to }));
    await untilLogged(relay, "deferred", { id, to: "early@far.test" });
    const arrived = () => envelopesAt(hosts, "far", "mixed");
    await eventually(() => arrived().length > 0, { msMax: 10_000, what: "the others have it" });
    writeFileSync(join(exim.directory, "through"), "");
    const report = await reportTo("home", "mixed@home.test");
    assert.deepEqual(arrived(), [["a@far.test", "b@far.test"], ["early@far.test"]]);
    assert.deepEqual(told(report, "final-recipient"), [["rfc822; unknown@far.test"]]);
    assert.match(report.recipients[0]?.get("diagnostic-code") ?? "", /nobody of that name/);
  });

  test("Exim: takes a login over verified TLS", async () => {
    const letter = { from: "login@home.test", to: ["<login@far.test>"] };
    const id = idIn(await handTo(relay.port(), letter));
    await settled();
    assert.deepEqual(envelopesAt(hosts, "far", "login"), [["login@far.test"]]);
    await untilSaid(exim, /<= login@home\.test .* P=esmtpsa X=TLS1\.\S+ .*A=plain:relay/);
    assert.deepEqual(logged(relay, "deferred", { id }), []);
  });

  test("Exim: takes an address in UTF-8 with SMTPUTF8", async () => {
    const letter = { from: "utf8@home.test", mail: "SMTPUTF8", to: ["<grün@far.test>"] };
    await handTo(relay.port(), letter);
    await settled();
    assert.deepEqual(envelopesAt(hosts, "far", "utf8"), [["grün@far.test"]]);
  });

  test("Exim: is asked for reports in the sender's words, and writes them itself", async () => {
    await handTo(relay.port(), {
      from: "asker@home.test",
      mail: "RET=HDRS ENVID=order+2B7",
      to: ["<a@far.test> NOTIFY=SUCCESS ORCPT=rfc822;Alias+2Ba@old.test"],
    });
    const report = await reportTo("far", "asker@home.test");
    // Exim does not decode what it is told (RFC 3461 section 4): as it stands here it came from us.
    assert.equal(report.message.get("original-envelope-id"), "order+2B7");
    assert.deepEqual(told(report, "action", "original-recipient"), [
      ["delivered", "rfc822;Alias+2Ba@old.test"],
    ]);
    assert.deepEqual(reportsAt(hosts, "home", "asker@home.test"), [], "we say nothing");
  });

  test("Exim: a message over its size never leaves us, and its sender is told", async () => {
    const envelope = { from: "big@home.test", to: ["<a@far.test>"] };
    await handTo(relay.port(), { ...envelope, letter: bigLetter(sizeBytesMax) });
    assert.deepEqual(told(await reportTo("home", "big@home.test"), "status"), [["5.3.4"]]);
    assert.ok(!tap.pieces.some(({ text }) => text.includes("<big@home.test>")));
  });
});
