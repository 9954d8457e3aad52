/** Big mail: whole at every host that it goes to, and in the report, whoever of them is done with it first. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { hostsRoute, type RelayProcess, relayProcess } from "../ledger/relay-process.ts";
import { send } from "./client.ts";
import { drained, type Hosts, startHosts } from "./hosts.ts";

/** In the journal, in a file of its own, and in more than one slice. */
const sizes = [40_000, 400_000, 2_500_000];
/** A bigger one comes back without its text. */
const returnedBytesMax = 1024 * 1024;
const retry = { initial: "1s", max: "1s" };

function textOf(octets: number): string {
  const lines = Math.floor(octets / 80);
  return Array.from({ length: lines }, (_none, at) => `${at}`.padStart(78, ".")).join("\r\n");
}

describe("big mail", { timeout: 60_000 }, () => {
  const refusals = new Map<string, number>();
  let hosts: Hosts;
  let relay: RelayProcess;

  before(async () => {
    hosts = await startHosts(["quick", "slow", "home"], {
      slow: {
        refuse(recipient) {
          if (recipient.startsWith("never")) return "550 5.1.1 no such mailbox";
          const tries = (refusals.get(recipient) ?? 0) + 1;
          refusals.set(recipient, tries);
          return tries <= 2 ? "451 4.3.0 come again" : undefined;
        },
      },
    });
    relay = relayProcess({ trustedNetworks: ["127.0.0.1/32"] });
    for (const name of ["quick", "slow", "home"]) {
      const route = hostsRoute(name, { suffixes: [`${name}.test`] }, hosts.target(name), { retry });
      relay.routes(`${name}.yaml`, [route]);
    }
    await relay.start();
  });
  after(async () => {
    await relay.close();
    await hosts.close();
  });

  test("big: what one host has and another wants later, and what a report returns, is the message", async () => {
    const sent = sizes.flatMap((size) => ["a", "b", "c"].map((name) => `${name}${size}`));
    const letters = sent.map(async (subject) => {
      const names = [`${subject}@quick.test`, `${subject}@slow.test`, `never${subject}@slow.test`];
      const text = textOf(Number(subject.slice(1))).replace(/^\./gm, "..");
      const letter = { from: "me@home.test", parameters: "RET=FULL", to: names, subject, text };
      const { data } = await send(relay.port(), letter);
      assert.match(data, /^250 /);
    });
    await Promise.all(letters);
    await drained(relay, 30_000);
    for (const subject of sent) {
      const octets = Number(subject.slice(1));
      const message = `Subject: ${subject}\r\n\r\n${textOf(octets)}\r\n`;
      const arrivals = hosts.subject(subject);
      assert.deepEqual(arrivals.map(({ host }) => host).toSorted(), ["home", "quick", "slow"]);
      for (const { host, text } of arrivals) {
        const isCut = host === "home" && octets > returnedBytesMax;
        const whole = text.replace(/^\.\./gm, "."); // as it was on the wire
        assert.equal(whole.includes(message), !isCut, `${subject} at ${host}`);
      }
    }
  });
});
