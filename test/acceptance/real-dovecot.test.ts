/**
 * Dovecot as the mail store of `inbound` routes: mail goes in by LMTP, each recipient with an answer of its own, and
 * is read back over IMAP and POP3 as mail programs do.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import {
  eventually,
  hostsRoute,
  type RelayProcess,
  relayProcess,
} from "../ledger/relay-process.ts";
import { skipReason } from "../peers/debian.ts";
import { type Dovecot, ensureDovecot, startDovecot } from "../peers/dovecot.ts";
import { readByImap, readByPop3 } from "../peers/mail-reader.ts";
import { idIn } from "./client.ts";
import { drained, type Hosts, logged, startHosts, untilLogged } from "./hosts.ts";
import {
  arriving,
  bodyIn,
  digest,
  fieldIn,
  headerOf,
  type OctetLetter,
  octetLetters,
} from "./octets.ts";
import { bigLetter, handAllOctets, handTo, reportsAt } from "./peer-mail.ts";

const fixtures = join(import.meta.dirname, "../../relay/delivery/fixtures");
const password = "pass word";
const mailbox = (name: string, quotaBytes?: number) => ({
  user: `${name}@store.test`,
  password,
  ...(quotaBytes !== undefined && { quotaBytes }),
});
const crowd = Array.from({ length: 12 }, (_, at) => `crowd${at}`);
const dovecotProgram = await ensureDovecot();

describe("Dovecot as the mail store", {
  skip: skipReason(dovecotProgram),
  timeout: 240_000,
}, () => {
  let dovecot: Dovecot;
  /** Another, which looks at quotas before it takes a message. */
  let strict: Dovecot;
  let hosts: Hosts;
  let relay: RelayProcess;

  before(async () => {
    const files = {
      certificateFile: join(fixtures, "hop.pem"),
      keyFile: join(fixtures, "hop.key"),
    };
    dovecot = await startDovecot({
      ...files,
      mailboxes: [
        ...["one", "two", "locked", "octets", "asked", ...crowd].map((name) => mailbox(name)),
        mailbox("full", 100),
      ],
    });
    strict = await startDovecot({
      ...files,
      mailboxes: [{ user: "full@strict.test", password, quotaBytes: 10_000 }],
      settings: ["lmtp_rcpt_check_quota = yes"],
    });
    hosts = await startHosts(["home"]);
    relay = relayProcess({
      inbound: { hosts: [{ host: "127.0.0.1", port: dovecot.ports.lmtp }], protocol: "LMTP" },
    });
    relay.routes("all.yaml", [
      hostsRoute("store", { domains: ["store.test"] }, [], {
        target: { inbound: {} },
        retry: { initial: "1s", max: "1s" },
      }),
      hostsRoute(
        "strict",
        { domains: ["strict.test"] },
        [{ host: "127.0.0.1", port: strict.ports.lmtp }],
        { protocol: "LMTP" },
      ),
      hostsRoute("home", { domains: ["home.test"] }, hosts.target("home")),
    ]);
    await relay.start();
  });

  after(async () => {
    await relay?.close();
    await hosts?.close();
    await strict?.close();
    await dovecot?.close();
  });

  const sendAs = async (
    sender: string,
    to: readonly string[],
    letter?: OctetLetter,
  ): Promise<string> => {
    const envelope = { from: `${sender}@home.test`, to, ...(letter !== undefined && { letter }) };
    return idIn(await handTo(relay.port(), envelope));
  };

  const read = async (name: string): Promise<Buffer[]> => {
    const account = { user: `${name}@store.test`, password };
    const { imaps, pop3 } = dovecot.ports;
    const ca = readFileSync(join(fixtures, "ca.pem"), "utf8");
    const byImap = await readByImap({ ...account, port: imaps, ca });
    const byPop3 = await readByPop3({ ...account, port: pop3 });
    assert.deepEqual(byPop3.map(digest), byImap.map(digest), "IMAP and POP3 show the same");
    return byImap;
  };
  const subjectsOf = async (name: string): Promise<string[]> =>
    (await read(name)).map((message) => fieldIn(message, "Subject"));

  const reported = (sender: string): readonly ReadonlyMap<string, string>[] =>
    reportsAt(hosts, "home", `${sender}@home.test`).flatMap(({ recipients }) => recipients);

  test("Dovecot: of one message each recipient has a fate of its own, and who must wait gets it later", async () => {
    mkdirSync(dovecot.homeOf("locked@store.test"), { mode: 0o700 });
    const names = ["one", "unknown", "full", "two", "locked"];
    const id = await sendAs(
      "fates",
      names.map((name) => `<${name}@store.test>`),
    );
    const deferred = await untilLogged(relay, "deferred", { id });
    assert.deepEqual([deferred["to"], deferred["code"]], ["locked@store.test", 451]);
    await eventually(() => reported("fates").length === 2, {
      msMax: 10_000,
      what: "both failures are told",
    });
    const words = (name: string): string[] =>
      reported("fates").map((fields) => fields.get(name) ?? "");
    assert.deepEqual(words("final-recipient").sort(), [
      "rfc822; full@store.test",
      "rfc822; unknown@store.test",
    ]);
    assert.deepEqual(words("status").sort(), ["5.1.1", "5.2.2"]);
    assert.match(words("diagnostic-code").join("\n"), /User doesn't exist/);
    assert.match(words("diagnostic-code").join("\n"), /Quota exceeded/);
    execFileSync("chown", ["mail:", dovecot.homeOf("locked@store.test")]);
    await drained(relay, 20_000);
    for (const name of ["one", "two", "locked"])
      assert.deepEqual(await subjectsOf(name), ["fates"], name);
    assert.deepEqual(await subjectsOf("full"), []);
    assert.equal(logged(relay, "bounced", { id }).length, 2);
  });

  test("Dovecot: every octet is read back over IMAP and POP3, below the store's own lines", async () => {
    await handAllOctets(relay.port(), ["<octets@store.test>"]);
    await drained(relay, 20_000);
    const messages = await read("octets");
    assert.equal(messages.length, octetLetters.length);
    for (const letter of octetLetters) {
      const stored = messages.filter((message) => fieldIn(message, "Subject") === letter.name);
      assert.deepEqual(
        stored.map((message) => digest(bodyIn(message))),
        [digest(arriving(letter))],
        letter.name,
      );
      const [message = Buffer.alloc(0)] = stored;
      const own = message.subarray(0, message.indexOf(headerOf(letter.name))).toString();
      const fields = own
        .replace(/\r\n[ \t]+/g, " ")
        .trimEnd()
        .split("\r\n");
      assert.deepEqual(
        fields.map((line) => line.replace(/:.*/, "")),
        ["Return-Path", "Delivered-To", "Received", "Received"],
        own,
      );
      assert.equal(fieldIn(message, "Return-Path"), "<octets@home.test>");
    }
  });

  test("Dovecot: one message for twelve mailboxes is in each of them once", async () => {
    await sendAs(
      "crowd",
      crowd.map((name) => `<${name}@store.test>`),
    );
    await drained(relay, 20_000);
    for (const name of crowd) assert.deepEqual(await subjectsOf(name), ["crowd"], name);
  });

  test("Dovecot: a mailbox that is full before the message comes is told to the sender at once", async () => {
    // The last message may go a tenth beyond the quota.
    await sendAs("filler", ["<full@strict.test>"], bigLetter(9500));
    await drained(relay);
    const id = await sendAs("late", ["<full@strict.test>"]);
    await eventually(() => reported("late").length > 0, { msMax: 10_000, what: "it is told" });
    const [told, ...more] = reported("late");
    assert.deepEqual([told?.get("status"), more.length], ["5.2.2", 0]);
    assert.match(told?.get("diagnostic-code") ?? "", /^smtp; 552 .*Quota exceeded/);
    assert.equal(logged(relay, "deferred", { id }).length, 0);
    assert.doesNotMatch(strict.log(), /save failed/, "it was refused at RCPT");
  });

  test("Dovecot: who asked is told that it is in the mailbox", async () => {
    await sendAs("asker", ["<asked@store.test> NOTIFY=SUCCESS"]);
    await eventually(() => reported("asker").length > 0, { msMax: 10_000, what: "it is told" });
    assert.deepEqual(
      reported("asker").map((fields) => [fields.get("action"), fields.get("final-recipient")]),
      [["delivered", "rfc822; asked@store.test"]],
    );
    assert.deepEqual(await subjectsOf("asked"), ["asker"]);
  });
});
