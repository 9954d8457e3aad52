/** The edges of RFC 5321 and RFC 6531 against a whole relay: the longest that is taken, and one more. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { hostsRoute, type RelayProcess, relayProcess } from "../ledger/relay-process.ts";
import { greeted, say } from "./client.ts";
import { drained, type Hosts, startHosts } from "./hosts.ts";

/** A domain of so many octets under one.test. */
function domainOf(octets: number): string {
  let front = "";
  for (let left = octets - "one.test".length; left > 0; left = octets - front.length - 8) {
    front += `${"d".repeat(Math.min(left === 65 ? 62 : 63, left - 1))}.`;
  }
  return `${front}one.test`;
}

const local64 = "l".repeat(64);

/** What RCPT is answered; SMTPUTF8 was given where `utf8` says so. */
const cases: readonly (readonly [title: string, path: string, answer: string, utf8?: "utf8"])[] = [
  ["a local part of 64 octets (RFC 5321 section 4.5.3.1.1)", `${local64}@one.test`, "250 2.1.5"],
  ["a local part of 65 octets (RFC 5321 section 4.5.3.1.1)", `l${local64}@one.test`, "501 5.1.3"],
  ["a path of 256 octets (RFC 5321 section 4.5.3.1.3)", `${local64}@${domainOf(189)}`, "250 2.1.5"],
  ["a path of 257 octets (RFC 5321 section 4.5.3.1.3)", `${local64}@${domainOf(190)}`, "501 5.1.3"],
  ["a label of 63 octets (RFC 1035 section 2.3.4)", `a@${"d".repeat(63)}.one.test`, "250 2.1.5"],
  ["a label of 64 octets (RFC 1035 section 2.3.4)", `a@${"d".repeat(64)}.one.test`, "501 5.1.3"],
  ["<postmaster> (RFC 5321 section 4.1.1.3)", "PostMaster", "250 2.1.5"],
  ["another mailbox without a domain (RFC 5321 section 4.1.2)", "hostmaster", "501 5.1.3"],
  ["a source route (RFC 5321 appendix C)", "@evil.test,@b.test:a@one.test", "250 2.1.5"],
  ["an empty local part (RFC 5321 section 4.1.2)", "@one.test", "501 5.1.3"],
  ["dots in a row (RFC 5321 section 4.1.2)", "a..b@one.test", "501 5.1.3"],
  ["dots in a row, quoted (RFC 5321 section 4.1.2)", '"a..b"@one.test', "250 2.1.5"],
  ["UTF-8 without SMTPUTF8 (RFC 6531 section 3.5)", "jürgen@one.test", "553 5.6.7"],
  ["UTF-8 with SMTPUTF8 (RFC 6531 section 3.3)", "jürgen@one.test", "250 2.1.5", "utf8"],
  ["64 octets of UTF-8 (RFC 6531 section 3.3)", `${"ü".repeat(32)}@one.test`, "250 2.1.5", "utf8"],
  ["66 octets of UTF-8 (RFC 6531 section 3.3)", `${"ü".repeat(33)}@one.test`, "501 5.1.3", "utf8"],
  ["an invisible character (docs/routing.md)", "a\u200bb@one.test", "501 5.1.3", "utf8"],
];

describe("edges", { timeout: 60_000 }, () => {
  let hosts: Hosts;
  let relay: RelayProcess;

  before(async () => {
    hosts = await startHosts(["one"]);
    relay = relayProcess({
      postmaster: "postmaster@one.test",
      trustedNetworks: ["127.0.0.1/32"],
      limits: { messageBytesMax: 100_000, recipientsMax: 100 },
    });
    relay.routes("one.yaml", [hostsRoute("one", { suffixes: ["one.test"] }, hosts.target("one"))]);
    await relay.start();
  });
  after(async () => {
    await relay.close();
    await hosts.close();
  });

  for (const [title, path, answer, utf8] of cases) {
    test(`edges: RCPT of ${title} is ${answer}`, async () => {
      const client = await greeted(relay.port());
      const parameter = utf8 === undefined ? "" : " SMTPUTF8";
      assert.match(await say(client, `MAIL FROM:<>${parameter}`), /^250 /);
      assert.equal((await say(client, `RCPT TO:<${path}>`)).slice(0, 9), answer);
      client.socket.destroy();
    });
  }

  test("edges: a hundred recipients are taken in one message, and one more is 452 (RFC 5321 section 4.5.3.1.8)", async () => {
    const client = await greeted(relay.port());
    await say(client, "MAIL FROM:<>");
    const paths = Array.from({ length: 100 }, (_none, at) => `r${at}@one.test`);
    for (const path of paths) assert.match(await say(client, `RCPT TO:<${path}>`), /^250 /);
    assert.match(await say(client, "RCPT TO:<more@one.test>"), /^452 4\.5\.3 /);
    assert.match(await say(client, "DATA"), /^354 /);
    assert.match(await say(client, "Subject: hundred\r\n\r\n."), /^250 /);
    client.socket.destroy();
    await drained(relay);
    const reached = hosts.subject("hundred").flatMap(({ recipients }) => recipients);
    assert.deepEqual(reached.toSorted(), paths.toSorted());
  });

  for (const way of ["DATA", "BDAT"] as const) {
    test(`edges: big mail by ${way} is answered and whole wherever its end is cut (RFC 5321 section 6.1)`, async () => {
      const client = await greeted(relay.port());
      client.socket.setNoDelay(true);
      const subject = `cut-${way}`;
      const text = `Subject: ${subject}\r\n\r\n${`${"x".repeat(70)}\r\n`.repeat(1300)}`;
      const parts = [20_000, 30_000, 50_000, 90_000];
      for (const part of parts) {
        assert.match(await say(client, "MAIL FROM:<>"), /^250 /);
        assert.match(await say(client, "RCPT TO:<b@one.test>"), /^250 /);
        if (way === "DATA") assert.match(await say(client, "DATA"), /^354 /);
        const start = way === "DATA" ? "" : `BDAT ${text.length} LAST\r\n`;
        client.send(start + text.slice(0, -part));
        await sleep(100); // what follows is read by itself
        client.send(text.slice(-part));
        if (way === "DATA") {
          await sleep(100);
          client.send(".\r\n");
        }
        assert.match(await client.reply(), /^250 /);
        assert.match(await say(client, "NOOP"), /^250 /);
      }
      client.socket.destroy();
      await drained(relay);
      const reached = hosts.subject(subject).map((each) => each.text);
      assert.equal(reached.length, parts.length);
      for (const each of reached) assert.ok(each.endsWith(text));
    });
  }

  test("edges: a message of exactly SIZE is taken, one octet more is 552, by DATA and by BDAT (RFC 1870 section 6)", async () => {
    const client = await greeted(relay.port());
    const whole = `Subject: size\r\n\r\n${"x".repeat(979)}\r\n`.padEnd(
      100_000,
      `${"y".repeat(998)}\r\n`,
    );
    for (const [message, answer] of [
      [`${whole.slice(0, -2)}\r\n`, "250 2.0.0"],
      [`${whole.slice(0, -2)}x\r\n`, "552 5.3.4"],
    ] as const) {
      assert.equal(message.length - 100_000, answer.startsWith("250") ? 0 : 1);
      for (const how of ["DATA", "BDAT"]) {
        await say(client, "MAIL FROM:<>");
        await say(client, "RCPT TO:<a@one.test>");
        if (how === "DATA") {
          await say(client, "DATA");
          client.send(`${message}.\r\n`);
        } else {
          client.send(`BDAT ${message.length} LAST\r\n${message}`);
        }
        assert.equal((await client.reply()).slice(0, 9), answer, how);
      }
    }
    assert.match(await say(client, "MAIL FROM:<> SIZE=100001"), /^552 5\.3\.4 /);
    assert.match(await say(client, "MAIL FROM:<> SIZE=100000"), /^250 /);
    client.socket.destroy();
  });
});
