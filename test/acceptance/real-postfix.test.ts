/**
 * Postfix as a next hop: what it takes from a real relay over the wire, TLS with a login that Dovecot judges, and
 * what it refuses, for good or for now. Its own next hop is a sink, where every octet is compared.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { hostsRoute, type RelayProcess, relayProcess } from "../ledger/relay-process.ts";
import { ensureForRoot, skipReason } from "../peers/debian.ts";
import { type Dovecot, ensureDovecot, startDovecot } from "../peers/dovecot.ts";
import { freePort } from "../peers/ports.ts";
import { type Postfix, startPostfix } from "../peers/postfix.ts";
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

const fixtures = join(import.meta.dirname, "../../relay/delivery/fixtures");
const fixture = (name: string): string => readFileSync(join(fixtures, name), "utf8");
const sizeBytesMax = 1_000_000;
const retry = { initial: "1s", max: "1s" };
const known = ["a", "b", "asked", "never", "loud", "early", "grün", "login", "b+screened"];

const postfixProgram = await ensureForRoot("postfix", "postfix");
const dovecotProgram = await ensureDovecot();
const skip = skipReason(postfixProgram) || skipReason(dovecotProgram);

/** Says "not now" of early@ until it is let through, as greylisting does. */
function greylist(): { readonly server: Server; through: boolean } {
  const state = { server: createServer(), through: false };
  state.server.on("connection", (socket) => {
    let text = "";
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (!text.endsWith("\n\n")) return;
      const isEarly = text.includes("\nrecipient=early@") && !state.through;
      text = "";
      socket.write(`action=${isEarly ? "450 4.2.0 Greylisted, come again" : "DUNNO"}\n\n`);
    });
  });
  return state;
}

describe("Postfix as a next hop", { skip, timeout: 240_000 }, () => {
  const policy = greylist();
  let hosts: Hosts;
  let dovecot: Dovecot;
  let postfix: Postfix;
  let tap: Tap;
  /** On the way to the port that postscreen guards. */
  let screened: Tap;
  let securePort: number;
  let relay: RelayProcess;

  before(async () => {
    hosts = await startHosts(["far", "home"], {
      far: { refuse: (to) => (/^(?:never|loud)@/.test(to) ? "550 5.1.1 gone" : undefined) },
    });
    policy.server.listen(0, "127.0.0.1");
    const files = {
      certificateFile: join(fixtures, "hop.pem"),
      keyFile: join(fixtures, "hop.key"),
    };
    dovecot = await startDovecot({
      ...files,
      mailboxes: [{ user: "relay@far.test", password: "pass word" }],
    });
    const plainPort = await freePort();
    const screenPort = await freePort();
    securePort = await freePort();
    const policyAddress = policy.server.address();
    assert.ok(policyAddress !== null && typeof policyAddress === "object");
    postfix = await startPostfix({
      settings: {
        relayhost: hosts.target("far").map(({ host, port }) => `[${host}]:${port}`)[0] ?? "",
        relay_domains: "far.test",
        relay_recipient_maps: `inline:{ ${known.map((name) => `{${name}@far.test=x}`).join(" ")} }`,
        message_size_limit: String(sizeBytesMax),
        smtp_line_length_limit: "0",
        smtpd_recipient_restrictions: [
          `check_policy_service inet:127.0.0.1:${policyAddress.port}`,
          "reject_unauth_pipelining",
          "permit_mynetworks",
          "reject",
        ].join(", "),
        smtpd_tls_cert_file: files.certificateFile,
        smtpd_tls_key_file: files.keyFile,
        smtpd_tls_loglevel: "1",
        postscreen_access_list: "",
        postscreen_greet_action: "enforce",
        postscreen_greet_wait: "2s",
        postscreen_pipelining_enable: "yes",
        postscreen_pipelining_action: "enforce",
        postscreen_non_smtp_command_enable: "yes",
        postscreen_bare_newline_enable: "yes",
        postscreen_bare_newline_action: "enforce",
        smtpd_sasl_type: "dovecot",
        smtpd_sasl_path: `inet:127.0.0.1:${dovecot.ports.auth}`,
      },
      services: [`127.0.0.1:${screenPort} inet n - n - 1 postscreen`, "smtpd pass - - n - - smtpd"],
      ports: new Map([
        [plainPort, {}],
        [
          securePort,
          {
            smtpd_tls_security_level: "encrypt",
            smtpd_sasl_auth_enable: "yes",
            smtpd_recipient_restrictions: "permit_sasl_authenticated, reject",
          },
        ],
      ]),
    });
    tap = await tapTo(plainPort);
    screened = await tapTo(screenPort);
    relay = relayProcess();
    const far = [{ host: "127.0.0.1", port: tap.port }];
    relay.routes("all.yaml", [
      hostsRoute("far", { domains: ["far.test"] }, far, { retry }),
      hostsRoute(
        "screened",
        { addresses: ["b+screened@far.test"] },
        [{ host: "127.0.0.1", port: screened.port }],
        { retry },
      ),
      hostsRoute("home", { domains: ["home.test"] }, hosts.target("home")),
    ]);
    relay.routes("secure.yaml", secured({ password: "wrong", serverName: "other.test" }));
    await relay.start();
  });

  after(async () => {
    await relay?.close();
    await tap?.close();
    await screened?.close();
    await postfix?.close();
    await dovecot?.close();
    policy.server.close();
    await hosts?.close();
  });

  /** The way of login@far.test. */
  function secured({ password, serverName }: { password: string; serverName: string }): object[] {
    const hosts = { "mailroute.dev/hosts": `127.0.0.1:${securePort}` };
    const secret = (name: string, stringData: object): object => ({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name, namespace: "mail", annotations: hosts },
      stringData,
    });
    const spec = { addresses: ["login@far.test"] };
    return [
      hostsRoute("secure", spec, [{ host: "127.0.0.1", port: securePort }], {
        tls: { mode: "Verified", serverName, caSecretRef: { name: "ca" } },
        auth: { secretRef: { name: "login" } },
        retry,
      }),
      secret("ca", { "ca.crt": fixture("ca.pem") }),
      secret("login", { username: "relay@far.test", password }),
    ];
  }

  const settled = (): Promise<void> => bothEmpty(relay, postfix);
  const reportTo = (host: string, sender: string): Promise<Report> =>
    reportAt(hosts, host, sender, settled);
  const commands = (): readonly string[] =>
    tap.pieces.filter(({ from }) => from === "client").map(({ text }) => text);

  test("Postfix: takes each envelope in one piece, and hands on every octet of what no mail program should touch", async () => {
    const to = ["<a@far.test>", "<b@far.test>"];
    await handAllOctets(relay.port(), to);
    await settled();
    assertOctets(hosts, to);
    const envelope =
      /^MAIL FROM:<octets@home\.test> SIZE=\d+ BODY=8BITMIME\r\nRCPT TO:<a@far\.test>\r\nRCPT TO:<b@far\.test>\r\nDATA\r\n$/;
    const envelopes = commands().filter((piece) => envelope.test(piece));
    assert.equal(envelopes.length, octetLetters.length);
    assert.doesNotMatch(postfix.log(), /improper command pipelining|unauthorized pipelining/);
  });

  test("Postfix: is asked for reports in the sender's words, and writes them itself", async () => {
    await handTo(relay.port(), {
      from: "asker@home.test",
      mail: "RET=HDRS ENVID=order+2B7",
      to: [
        "<asked@far.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Alias+2Ba@old.test",
        "<never@far.test> NOTIFY=NEVER",
      ],
    });
    const success = await reportTo("far", "asker@home.test");
    assert.equal(success.message.get("original-envelope-id"), "order+7");
    assert.deepEqual(told(success, "action", "final-recipient", "original-recipient"), [
      ["relayed", "rfc822; asked@far.test", "rfc822;Alias+a@old.test"],
    ]);
    assert.equal(success.types[2], "text/rfc822-headers");
    const full = { from: "full@home.test", mail: "RET=FULL", to: ["<loud@far.test>"] };
    await handTo(relay.port(), full);
    const failure = await reportTo("far", full.from);
    assert.deepEqual(told(failure, "action"), [["failed"]]);
    assert.equal(failure.types[2], "message/rfc822");
    for (const sender of ["asker@home.test", full.from])
      assert.deepEqual(reportsAt(hosts, "home", sender), [], "we say nothing");
  });

  test("Postfix: takes an address in UTF-8 with SMTPUTF8", async () => {
    const letter = { from: "utf8@home.test", mail: "SMTPUTF8", to: ["<grün@far.test>"] };
    await handTo(relay.port(), letter);
    await settled();
    assert.deepEqual(envelopesAt(hosts, "far", "utf8"), [["grün@far.test"]]);
    const mail = /^MAIL FROM:<utf8@home\.test>.* SMTPUTF8\r\n/;
    assert.ok(commands().some((piece) => mail.test(piece)));
  });

  test("Postfix: is shown a password only over TLS with the right name, and then a right one", async () => {
    const letter = { from: "login@home.test", to: ["<login@far.test>"] };
    const id = idIn(await handTo(relay.port(), letter));
    await untilLogged(relay, "deferred", { id, cause: "tls" });
    assert.doesNotMatch(postfix.log(), /sasl_|SASL/);
    relay.routes("secure.yaml", secured({ password: "wrong", serverName: "hop.test" }));
    await untilLogged(relay, "deferred", { id, cause: "auth", code: 535 });
    await untilSaid(postfix, /SASL PLAIN authentication failed/);
    relay.routes("secure.yaml", secured({ password: "pass word", serverName: "hop.test" }));
    await settled();
    assert.deepEqual(envelopesAt(hosts, "far", "login"), [["login@far.test"]]);
    await untilSaid(postfix, /sasl_method=PLAIN, sasl_username=relay@far\.test/);
    assert.deepEqual(logged(relay, "bounced", { id }), []);
  });

  test("Postfix: a message over its size never leaves us, and its sender is told", async () => {
    const envelope = { from: "big@home.test", to: ["<a@far.test>"] };
    await handTo(relay.port(), { ...envelope, letter: bigLetter(sizeBytesMax) });
    const report = await reportTo("home", "big@home.test");
    assert.deepEqual(told(report, "status"), [["5.3.4"]]);
    assert.ok(!commands().some((piece) => piece.includes("<big@home.test>")));
  });

  test("Postfix: who is unknown there is told to the sender in its words, and the others get the message", async () => {
    const to = ["<a@far.test>", "<unknown@far.test>", "<b@far.test>"];
    await handTo(relay.port(), { from: "mixed@home.test", to });
    const report = await reportTo("home", "mixed@home.test");
    assert.deepEqual(told(report, "final-recipient", "status"), [
      ["rfc822; unknown@far.test", "5.1.1"],
    ]);
    assert.match(
      report.recipients[0]?.get("diagnostic-code") ?? "",
      /User unknown in relay recipient table/,
    );
    assert.deepEqual(envelopesAt(hosts, "far", "mixed"), [["a@far.test", "b@far.test"]]);
  });

  test("Postfix: who is greylisted there waits alone, and gets the message once when it is time", async () => {
    const to = ["<early@far.test>", "<a@far.test>"];
    const id = idIn(await handTo(relay.port(), { from: "greylisted@home.test", to }));
    const deferred = await untilLogged(relay, "deferred", { id });
    assert.deepEqual([deferred["to"], deferred["code"]], ["early@far.test", 450]);
    policy.through = true;
    await settled();
    assert.deepEqual(envelopesAt(hosts, "far", "greylisted"), [["a@far.test"], ["early@far.test"]]);
  });

  test("Postfix: postscreen finds no fault, has us come again, and then lets us in", async () => {
    const letter = { from: "screened@home.test", to: ["<b+screened@far.test>"] };
    const id = idIn(await handTo(relay.port(), letter));
    const deferred = await untilLogged(relay, "deferred", { id });
    assert.deepEqual([deferred["code"], deferred["status"]], [450, "4.3.2"]);
    await settled();
    assert.deepEqual(envelopesAt(hosts, "far", "screened"), [["b+screened@far.test"]]);
    await untilSaid(postfix, /PASS NEW \[127\.0\.0\.1\]/);
    assert.doesNotMatch(postfix.log(), /PREGREET|COMMAND PIPELINING|BARE NEWLINE|NON-SMTP/);
    const greetings = screened.pieces.filter(({ text }) => text.startsWith("220-"));
    assert.ok(greetings.length > 0, "it greeted in two halves");
  });
});
