/**
 * Postfix as a sender: it has the relay as its relayhost, trusted by address or logged in over TLS, and comes again
 * by its own clock with what it is told is too much for now. Its books and the next hop's are compared.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import {
  eventually,
  hostsRoute,
  type RelayProcess,
  relayProcess,
} from "../ledger/relay-process.ts";
import { ensureDebian, ensureForRoot, skipReason } from "../peers/debian.ts";
import { freePort } from "../peers/ports.ts";
import { type Postfix, startPostfix } from "../peers/postfix.ts";
import { drained, type Hosts, logged, startHosts } from "./hosts.ts";
import {
  assertOctets,
  bigLetter,
  bothEmpty,
  envelopesAt,
  handAllOctets,
  handNumbered,
  handTo,
  reportAt,
  told,
  untilSaid,
} from "./peer-mail.ts";
import type { Report } from "./report.ts";
import {
  certificateFile,
  messagesMax,
  recipientsMax,
  retry,
  senderRelay,
  senderRoutes,
} from "./sender-relay.ts";

const messageBytesMax = 1_000_000;

const postfixProgram = await ensureForRoot("postfix", "postfix");
const plugin = await ensureDebian(
  "libsasl2-modules",
  `/usr/lib/${{ x64: "x86_64", arm64: "aarch64" }[process.arch as string]}-linux-gnu/sasl2/libplain.so`,
);
const skip = skipReason(postfixProgram) || skipReason(plugin);

describe("Postfix as a sender", { skip, timeout: 240_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-sender-"));
  let hosts: Hosts;
  let relay: RelayProcess;
  /** One whose table is incomplete at first. */
  let doubting: RelayProcess;
  let port: number;
  let postfix: Postfix;

  before(async () => {
    hosts = await startHosts(["far", "home"]);
    relay = await senderRelay({ directory, user: "postfix", messageBytesMax });
    relay.routes("far.yaml", [
      hostsRoute("far", { domains: ["far.test"] }, hosts.target("far"), { retry }),
    ]);
    relay.routes("others.yaml", senderRoutes(hosts));
    doubting = relayProcess();
    doubting.routes("late.yaml", "{ this is no MailRoute");
    await relay.start();
    await doubting.start();
    port = await freePort();
    postfix = await startPostfix({ settings: settings(), ports: new Map([[port, {}]]) });
  });

  after(async () => {
    await postfix?.close();
    await relay?.close();
    await doubting?.close();
    await hosts?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  /** By the sender's domain: trusted by its address, logged in, or at the relay that is in doubt. */
  function settings(): Record<string, string> {
    const at = (to: number | undefined): string => `[127.0.0.1]:${to}`;
    const ways = [
      `{@login.test=${at(relay.port("submission"))}}`,
      `{@doubt.test=${at(doubting.port())}}`,
    ];
    const inline = (text: string): string => `inline:{ ${text} }`;
    return {
      relayhost: at(relay.port()),
      sender_dependent_relayhost_maps: inline(ways.join(" ")),
      smtp_tls_security_level: "may",
      smtp_tls_CAfile: certificateFile,
      smtp_tls_policy_maps: inline(`{${at(relay.port("submission"))}=secure match=mx.test}`),
      smtp_sasl_auth_enable: "yes",
      smtp_sasl_security_options: "noanonymous",
      smtp_sasl_password_maps: inline(`{${at(relay.port("submission"))}=postfix:secret}`),
      smtp_line_length_limit: "0",
      default_destination_recipient_limit: "200",
      minimal_backoff_time: "1s",
      maximal_backoff_time: "1s",
      queue_run_delay: "1s",
    };
  }

  const settled = (): Promise<void> => bothEmpty(relay, postfix);
  const reportTo = (sender: string): Promise<Report> => reportAt(hosts, "home", sender, settled);
  const recipientsOf = (subject: string): readonly string[] =>
    envelopesAt(hosts, "far", subject).flat().sort();

  test("Postfix sends: what a full spool and a limit put off comes again, and every recipient gets it once", async () => {
    await hosts.sink("far").down();
    const wanted = await handNumbered(port, { name: "full", count: 4 * messagesMax });
    const crowd = Array.from({ length: recipientsMax + 50 }, (_, at) => `crowd${at}@far.test`);
    wanted.set("crowd", crowd.sort());
    const to = crowd.map((each) => `<${each}>`);
    assert.match(await handTo(port, { from: "crowd@home.test", to }), /^250 /);
    await untilSaid(postfix, /said: 452 4\.3\.1 no room for new mail/);
    await hosts.sink("far").up();
    await settled();
    for (const [subject, recipients] of wanted)
      assert.deepEqual(recipientsOf(subject), recipients, subject);
    await untilSaid(postfix, /said: 452 4\.5\.3 /);
    assert.doesNotMatch(postfix.log(), /status=bounced|Too many errors/);
    const users = logged(relay, "accepted").map((line) => line["user"] ?? "");
    assert.ok(users.includes("postfix") && users.includes(""), "logged in, and trusted by address");
  });

  test("Postfix sends: while the relay is killed and started again, nothing is lost", async () => {
    const handing = handNumbered(port, { name: "killed", count: 40 });
    const arrived = (): number =>
      hosts.at("far").filter(({ text }) => text.includes("\r\nSubject: killed-")).length;
    for (const enough of [1, 10]) {
      await eventually(() => arrived() >= enough, { msMax: 30_000, what: `${enough} arrive` });
      await relay.kill("SIGKILL");
      await relay.start();
    }
    const wanted = await handing;
    await settled();
    for (const [subject, recipients] of wanted) {
      // What the relay had taken without being able to say so comes twice.
      assert.deepEqual([...new Set(recipientsOf(subject))], recipients, subject);
    }
    assert.doesNotMatch(postfix.log(), /status=bounced/);
  });

  test("Postfix sends: every octet arrives", async () => {
    const to = ["<a@far.test>", "<b@far.test>"];
    await handAllOctets(port, to);
    await settled();
    assertOctets(hosts, to);
  });

  test("Postfix sends: what a sender asked to be told comes through it, and we tell him", async () => {
    await handTo(port, {
      from: "asker@home.test",
      mail: "RET=HDRS ENVID=order+2B7",
      to: ["<a@far.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Alias+2Ba@old.test", "<b@far.test>"],
    });
    const report = await reportTo("asker@home.test");
    assert.equal(report.message.get("reporting-mta"), "dns; relay.test");
    assert.equal(report.message.get("original-envelope-id"), "order+7");
    assert.deepEqual(told(report, "action", "final-recipient", "original-recipient"), [
      ["relayed", "rfc822; a@far.test", "rfc822;Alias+a@old.test"],
    ]);
    assert.equal(report.types[2], "text/rfc822-headers");
  });

  test("Postfix sends: what we refuse for good it reports with our words, and the others get the message", async () => {
    const to = ["<a@far.test>", "<b@no.test>", "<c@far.test>"];
    await handTo(port, { from: "refused@home.test", to });
    const report = await reportTo("refused@home.test");
    assert.equal(report.message.get("reporting-mta"), "dns; postfix.test");
    assert.deepEqual(told(report, "final-recipient", "status", "diagnostic-code"), [
      ["rfc822; b@no.test", "5.1.2", "smtp; 550 5.1.2 ask the postmaster of no.test"],
    ]);
    assert.deepEqual(recipientsOf("refused"), ["a@far.test", "c@far.test"]);
  });

  test("Postfix sends: a message over our size is reported to its sender", async () => {
    const envelope = { from: "big@home.test", to: ["<a@far.test>"] };
    await handTo(port, { ...envelope, letter: bigLetter(messageBytesMax) });
    assert.deepEqual(told(await reportTo("big@home.test"), "status"), [["5.3.4"]]);
    assert.deepEqual(recipientsOf("big"), []);
  });

  test("Postfix sends: while the table is incomplete it is told to come again, and then it is taken", async () => {
    await handTo(port, { from: "doubt@doubt.test", to: ["<a@far.test>"] });
    await untilSaid(postfix, /to=<a@far\.test>.* said: 451 4\.3\.0 /);
    assert.deepEqual(recipientsOf("doubt"), []);
    doubting.routes("late.yaml", [
      hostsRoute("far", { domains: ["far.test"] }, hosts.target("far"), { retry }),
    ]);
    await settled();
    await drained(doubting);
    assert.deepEqual(recipientsOf("doubt"), ["a@far.test"]);
  });
});
