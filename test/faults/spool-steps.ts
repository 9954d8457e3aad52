/**
 * What is done to a spool while its calls are broken one after the other: a few commits of every kind, and
 * what must be there after each. Pure. A step that was answered holds; one under way may hold or not.
 */
import { checksum, type Envelope, freshState, type State } from "../../relay/spool/records.ts";
import type { Change } from "../../relay/spool/spool.ts";

function message(id: string, bytes: number): { envelope: Envelope; body: Buffer } {
  const body = Buffer.from(`Subject: ${id}\r\n\r\n`.padEnd(bytes, `${id} `));
  const recipients = ["a@b.test", "c@d.test"].map((address) => ({
    address,
    key: "outbound",
    expiresAtMs: 10,
    warnAtMs: 5,
  }));
  const envelope = {
    id,
    session: "s",
    client: "192.0.2.1",
    trusted: true,
    sender: "me@b.test",
    recipients,
    arrivedAtMs: 1,
    bytes: body.length,
    crc: checksum(body),
    eightBit: false,
    smtputf8: false,
  };
  return { envelope, body };
}

const small = message("M1", 500);
const big = message("M2", 300_000);
const report = message("M3", 2000);
const middling = message("M4", 60_000);
const partly: State = {
  recipients: [null, { attempts: 2, dueAtMs: 99, warned: false, last: "451" }],
};

export const steps: readonly (readonly Change[])[] = [
  [{ kind: "accept", ...small }],
  [{ kind: "accept", ...big }],
  [{ kind: "update", id: "M1", state: partly }],
  [
    { kind: "remove", envelope: small.envelope },
    { kind: "accept", ...report },
  ],
  [{ kind: "accept", ...middling }],
  [{ kind: "remove", envelope: big.envelope }],
];

export type Kept = ReadonlyMap<string, State>;

/** What there is when the steps of these numbers hold and no others. */
export function keptAfter(held: readonly number[]): Kept {
  const kept = new Map<string, State>();
  for (const number of held) {
    for (const change of steps[number] ?? []) {
      if (change.kind === "accept") kept.set(change.envelope.id, freshState(change.envelope));
      else if (change.kind === "remove") kept.delete(change.envelope.id);
      else if (kept.has(change.id)) kept.set(change.id, change.state);
    }
  }
  return kept;
}

/** Whether what a step is about is there, so that it can be done. */
export function isPossible(number: number, held: readonly number[]): boolean {
  const kept = keptAfter(held);
  return (steps[number] ?? []).every((change) => {
    if (change.kind === "accept") return true;
    return kept.has(change.kind === "remove" ? change.envelope.id : change.id);
  });
}
