/**
 * Mail between a relay and real mail programs: letters handed over with their parameters, waiting until neither
 * side holds any more, and what a sink at the far end then has.
 */
import assert from "node:assert/strict";
import { eventually, type RelayProcess } from "../ledger/relay-process.ts";
import { greeted, say } from "./client.ts";
import { drained, type Hosts } from "./hosts.ts";
import {
  arriving,
  bodyIn,
  digest,
  handOctets,
  type OctetLetter,
  octetLetters,
  unstuffed,
} from "./octets.ts";
import { parseReport, type Report } from "./report.ts";

export type PeerLetter = {
  /** Its local part is the subject, unless there is a letter. */
  readonly from: string;
  /** Parameters of MAIL. */
  readonly mail?: string;
  /** As RCPT TO: has them, with < > and parameters. */
  readonly to: readonly string[];
  readonly letter?: OctetLetter;
};

/** Over a connection of its own, every recipient accepted; the answer to the message. */
export async function handTo(port: number | undefined, options: PeerLetter): Promise<string> {
  const { from, mail, to } = options;
  const parameters = mail === undefined ? "" : ` ${mail}`;
  const subject = from.replace(/@.*/, "");
  const plain: OctetLetter = { name: subject, body: Buffer.from("Hello.\r\n"), by: "DATA" };
  const client = await greeted(port);
  try {
    assert.match(await say(client, `MAIL FROM:<${from}>${parameters}`), /^250[ -]/);
    for (const rcpt of to) assert.match(await say(client, `RCPT TO:${rcpt}`), /^250[ -]/);
    return await handOctets(client, options.letter ?? plain);
  } finally {
    client.socket.destroy();
  }
}

/**
 * So many letters, each for three recipients at far.test, by senders at home.test and login.test in turns; the answer
 * is the recipients by subject.
 */
export async function handNumbered(
  port: number | undefined,
  { name, count }: { readonly name: string; readonly count: number },
): Promise<Map<string, readonly string[]>> {
  const wanted = new Map<string, readonly string[]>();
  for (let number = 0; number < count; number += 1) {
    const subject = `${name}-${number}`;
    const to = ["a", "b", "c"].map((name) => `${name}${number}@far.test`);
    const from = `${subject}@${number % 2 === 0 ? "home" : "login"}.test`;
    const rcpts = to.map((each) => `<${each}>`);
    assert.match(await handTo(port, { from, to: rcpts }), /^250 /);
    wanted.set(subject, to);
  }
  return wanted;
}

/** A letter of so many octets and its header, by the name "big". */
export function bigLetter(bytes: number): OctetLetter {
  const line = `${"x".repeat(98)}\r\n`;
  return { name: "big", body: Buffer.from(line.repeat(bytes / line.length)), by: "DATA" };
}

/** Each of the letters that mail programs like to change. */
export async function handAllOctets(
  port: number | undefined,
  to: readonly string[],
): Promise<void> {
  for (const letter of octetLetters) {
    const envelope = { from: "octets@home.test", mail: "BODY=8BITMIME", to };
    assert.match(await handTo(port, { ...envelope, letter }), /^250[ -]/, letter.name);
  }
}

/** Each of them has arrived once, for these recipients and with every octet of its body. */
export function assertOctets(hosts: Hosts, to: readonly string[]): void {
  for (const letter of octetLetters) {
    const arrived = hosts
      .subject(letter.name)
      .map(({ recipients, body }) => [
        recipients.map((each) => `<${each}>`).sort(),
        digest(bodyIn(unstuffed(body))),
      ]);
    assert.deepEqual(arrived, [[to, digest(arriving(letter))]], letter.name);
  }
}

type Peer = {
  readonly queued: () => number;
  readonly flush?: () => void;
};

/** Looks at a peer's queue before it is told to look itself. */
const looksPerFlush = 100;

/**
 * Waits until the peer and the relay both hold no mail any more, reports included. Now and then Postfix leaves a
 * message alone for minutes, however short its times are set, until something comes to its queue: it is told to look.
 */
export async function bothEmpty(relay: RelayProcess, peer: Peer): Promise<void> {
  let looks = 0;
  const isEmpty = async (): Promise<boolean> => {
    if (peer.queued() > 0) {
      looks += 1;
      if (looks % looksPerFlush === 0) peer.flush?.();
      return false;
    }
    await drained(relay, 30_000);
    return peer.queued() === 0;
  };
  await eventually(isEmpty, { msMax: 60_000, everyMs: 50, what: "peer and relay are empty" });
}

/** Waits until a peer's log has it: it is written a little after what it tells of. */
export async function untilSaid(
  peer: { readonly log: () => string },
  words: RegExp,
): Promise<void> {
  const what = `the peer's log has ${words}`;
  await eventually(() => words.test(peer.log()), { msMax: 30_000, what });
}

/** Of each message with this subject at the host, its recipients. */
export function envelopesAt(hosts: Hosts, host: string, subject: string): readonly string[][] {
  return hosts
    .subject(subject)
    .filter((arrival) => arrival.host === host)
    .map(({ recipients }) => [...recipients]);
}

/** Reports that have come to the host for this sender. */
export function reportsAt(hosts: Hosts, host: string, sender: string): readonly Report[] {
  return hosts
    .at(host)
    .filter(({ recipients }) => recipients.includes(sender))
    .map(({ text }) => parseReport(text));
}

/** The only one, when nothing is on its way any more. */
export async function reportAt(
  hosts: Hosts,
  host: string,
  sender: string,
  settled: () => Promise<void>,
): Promise<Report> {
  const what = `a report to ${sender} at ${host}`;
  const reports = (): readonly Report[] => reportsAt(hosts, host, sender);
  await eventually(() => reports().length > 0, { msMax: 30_000, what });
  await settled();
  const [report, ...more] = reports();
  assert.equal(more.length, 0, what);
  return report as Report;
}

/** These fields of each recipient. */
export function told(
  report: Report,
  ...names: readonly string[]
): readonly (string | undefined)[][] {
  return report.recipients.map((fields) => names.map((name) => fields.get(name)));
}
