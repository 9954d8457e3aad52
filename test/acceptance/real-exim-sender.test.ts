/**
 * Exim as a sender: trusted by address or logged in over TLS. It sends in chunks (RFC 3030) and pipelines across
 * them, which no other peer does, and comes again by its own clock with what is too much for now.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { eventually, hostsRoute, type RelayProcess } from "../ledger/relay-process.ts";
import { skipReason } from "../peers/debian.ts";
import { type Exim, ensureExim, startExim } from "../peers/exim.ts";
import { type Tap, tapTo } from "../peers/tap.ts";
import { type Hosts, logged, startHosts } from "./hosts.ts";
import {
  assertOctets,
  bothEmpty,
  envelopesAt,
  handAllOctets,
  handNumbered,
  handTo,
  reportsAt,
  told,
  untilSaid,
} from "./peer-mail.ts";
import type { Report } from "./report.ts";
import {
  certificateFile,
  keyFile,
  messagesMax,
  recipientsMax,
  retry,
  senderRelay,
  senderRoutes,
} from "./sender-relay.ts";

const program = await ensureExim();
const skip = skipReason(program);

describe("Exim as a sender", { skip, timeout: 240_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-exim-"));
  let hosts: Hosts;
  let exim: Exim;
  let tap: Tap;
  let relay: RelayProcess;

  before(async () => {
    hosts = await startHosts(["far", "home"]);
    relay = await senderRelay({ directory, user: "exim" });
    relay.routes("all.yaml", [
      hostsRoute("far", { domains: ["far.test"] }, hosts.target("far"), { retry }),
      ...senderRoutes(hosts),
    ]);
    await relay.start();
    tap = await tapTo(relay.port() ?? 0);
    const byLogin = (yes: string, no: string): string =>
      `\${if eq{$sender_address_domain}{login.test}{${yes}}{${no}}}`;
    exim = await startExim({
      program,
      certificateFile,
      keyFile,
      nextHopPort: byLogin(String(relay.port("submission")), String(tap.port)),
      transport: [
        "max_rcpt = 0",
        `hosts_require_tls = ${byLogin("*", "")}`,
        `hosts_require_auth = ${byLogin("*", "")}`,
        `hosts_avoid_tls = ${byLogin("", "*")}`,
        "tls_verify_certificates = CERTIFICATE",
        "tls_verify_hosts = *",
        "tls_verify_cert_hostnames =",
      ],
      settings: ["dsn_advertise_hosts = *", "recipients_max = 1000"],
      authenticators: [
        "plain:",
        "  driver = plaintext",
        "  public_name = PLAIN",
        "  client_send = ^exim^secret",
      ],
    });
  });

  after(async () => {
    await exim?.close();
    await tap?.close();
    await relay?.close();
    await hosts?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const settled = (): Promise<void> => bothEmpty(relay, exim);
  const recipientsOf = (subject: string): readonly string[] =>
    envelopesAt(hosts, "far", subject).flat().sort();
  const said = (from: "client" | "server"): readonly string[] =>
    tap.pieces.filter((piece) => piece.from === from).map(({ text }) => text);

  test("Exim sends: in chunks, and every octet arrives", async () => {
    const to = ["<a@far.test>", "<b@far.test>"];
    await handAllOctets(exim.port, to);
    await settled();
    assertOctets(hosts, to);
    const chunks = said("client").filter((text) => /^BDAT \d+ LAST\r\n/m.test(text));
    assert.ok(chunks.length > 0, "it sends in chunks");
  });

  test("Exim sends: what a full spool and a limit put off comes again, and every recipient gets it once", async () => {
    await hosts.sink("far").down();
    const wanted = await handNumbered(exim.port, { name: "full", count: 2 * messagesMax });
    const crowd = Array.from({ length: recipientsMax + 50 }, (_, at) => `crowd${at}@far.test`);
    wanted.set("crowd", crowd.sort());
    const to = crowd.map((each) => `<${each}>`);
    assert.match(await handTo(exim.port, { from: "crowd@home.test", to }), /^250 /);
    await untilSaid(exim, /452 4\.3\.1 no room for new mail/);
    await hosts.sink("far").up();
    await settled();
    for (const [subject, recipients] of wanted)
      assert.deepEqual(recipientsOf(subject), recipients, subject);
    assert.ok(
      said("server").some((text) => text.includes("452 4.5.3 ")),
      "a limit was met",
    );
    assert.ok(!exim.log().includes(" ** "), "nothing has failed");
    // What it had pipelined behind a refused MAIL is no error of its.
    assert.ok(!said("server").some((text) => /^421 /m.test(text)), "nobody is cut off");
    const users = logged(relay, "accepted").map((line) => line["user"] ?? "");
    assert.ok(users.includes("exim") && users.includes(""), "logged in, and trusted by address");
  });

  test("Exim sends: what we refuse for good it reports with our words, and what was asked to be told we tell", async () => {
    await handTo(exim.port, {
      from: "asker@home.test",
      mail: "ENVID=order+2B7",
      to: ["<a@far.test> NOTIFY=SUCCESS,FAILURE", "<b@no.test>", "<c@far.test>"],
    });
    const reports = (): readonly Report[] => reportsAt(hosts, "home", "asker@home.test");
    await eventually(() => reports().length >= 2, { msMax: 30_000, what: "two reports" });
    await settled();
    assert.equal(reports().length, 2);
    const by = (mta: string): Report | undefined =>
      reports().find(({ message }) => message.get("reporting-mta") === `dns; ${mta}`);
    const ours = by("relay.test") as Report;
    assert.equal(ours.message.get("original-envelope-id"), "order+7");
    assert.deepEqual(told(ours, "action", "final-recipient"), [["relayed", "rfc822; a@far.test"]]);
    const its = by("exim.test") as Report;
    assert.deepEqual(told(its, "action", "diagnostic-code"), [
      ["failed", "smtp; 550 5.1.2 ask the postmaster of no.test"],
    ]);
    assert.deepEqual(recipientsOf("asker"), ["a@far.test", "c@far.test"]);
  });
});
