/**
 * What is done to a spool while its calls are broken one after the other: a few commits of every kind, some of big
 * bodies only, or many by chance, and what must be there after each. Pure. A step that was answered holds; one under
 * way may hold or not.
 */
import { seeded } from "../../relay/seeded.testkit.ts";
import type { Change } from "../../relay/spool/changes.ts";
import { type Message, message as messageOf } from "../../relay/spool/message.testkit.ts";
import { type Envelope, freshState, type State } from "../../relay/spool/records.ts";

function message(id: string, bytes: number): Message {
  return messageOf(id, `Subject: ${id}\r\n\r\n`.padEnd(bytes, `${id} `));
}

const small = message("M1", 500);
const big = message("M2", 300_000);
const report = message("M3", 2000);
const middling = message("M4", 60_000);
const partly: State = {
  recipients: [null, { attempts: 2, dueAtMs: 99, warned: false, last: "451" }],
};

export type Steps = readonly (readonly Change[])[];

/** A script's name, the steps, and how long the journal's segments are. */
export type Script = {
  readonly name: "few" | "many" | "deep" | "big";
  /** Where the spool is, below the directory that is there already. */
  readonly below?: string;
  readonly steps: Steps;
  readonly segmentBytes?: number;
};

const few: Steps = [
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

const [big1, big2, longer, shorter, last] = [
  message("B1", 300_000),
  message("B2", 290_000),
  message("B3", 310_000),
  message("B4", 280_000),
  message("B5", 300_000),
];

/** Bodies that are files: two of one commit, then others over what is left of them. */
const bigSteps: Steps = [
  [
    { kind: "accept", ...big1 },
    { kind: "accept", ...big2 },
  ],
  [{ kind: "remove", envelope: big1.envelope }],
  [{ kind: "accept", ...longer }],
  [{ kind: "remove", envelope: big2.envelope }],
  [
    { kind: "remove", envelope: longer.envelope },
    { kind: "accept", ...shorter },
  ],
  [{ kind: "accept", ...last }],
  [{ kind: "remove", envelope: shorter.envelope }],
];

const manyCount = 160;

/** Messages that come, are tried and go, so that segments fill, are written again and dropped. */
function byChance(random: () => number): Steps {
  const there = new Map<string, Envelope>();
  return Array.from({ length: manyCount }, (_, number): readonly Change[] => {
    const ids = [...there.keys()];
    // Mostly the younger ones: old ones stay, and have to be moved.
    const id = ids[Math.floor((1 - random() ** 2) * ids.length)];
    const envelope = id === undefined ? undefined : there.get(id);
    const chance = random();
    if (envelope === undefined || chance < 0.45) {
      const fresh = message(`N${number}`, 100 + Math.floor(random() * 900));
      there.set(fresh.envelope.id, fresh.envelope);
      return [{ kind: "accept", ...fresh }];
    }
    if (chance < 0.6)
      return [{ kind: "update", id: envelope.id, state: { ...partly, deaths: number } }];
    there.delete(envelope.id);
    return [{ kind: "remove", envelope }];
  });
}

const scriptSeed = 7;

export function scriptOf(name: string | undefined): Script {
  if (name === "big") return { name, steps: bigSteps };
  if (name === "deep") return { name, steps: few, below: "a/b/c" };
  return name === "many"
    ? { name, steps: byChance(seeded(scriptSeed)), segmentBytes: 2048 }
    : { name: "few", steps: few };
}

export type Kept = ReadonlyMap<string, State>;

/** What there is when the steps of these numbers hold and no others. */
export function keptAfter(steps: Steps, held: readonly number[]): Kept {
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
export function isPossible(steps: Steps, number: number, held: readonly number[]): boolean {
  const kept = keptAfter(steps, held);
  return (steps[number] ?? []).every((change) => {
    if (change.kind === "accept") return true;
    return kept.has(change.kind === "remove" ? change.envelope.id : change.id);
  });
}
