/** The steps, done by a process that may be ended at any of its calls: it says on its output which of them hold. */
import { writeSync } from "node:fs";
import { join } from "node:path";
import { Spool } from "../../relay/spool/spool.ts";
import { SpoolError } from "../../relay/spool/spool-error.ts";
import { isPossible, scriptOf } from "./spool-steps.ts";

const [, , directory = "", name] = process.argv;
const { steps, segmentBytes, below = "" } = scriptOf(name);
/** Written at once: what it has said, it has said. */
const say = (word: string): void => void writeSync(1, `${word}\n`);

try {
  const limits = { bytesMax: 1e9, messagesMax: 1000, freeBytesMin: 0 };
  const small = segmentBytes === undefined ? {} : { segmentBytes };
  const spool = await Spool.open({
    directory: join(directory, below),
    owner: "relay.test",
    limits,
    ...small,
  });
  const found = [...spool.list((id) => say(`corrupt ${id}`))];
  await spool.setAside();
  say(`open ${found.length}`);
  const held: number[] = [];
  for (const [number, changes] of steps.entries()) {
    if (!isPossible(steps, number, held)) continue;
    try {
      await spool.commit(changes);
      held.push(number);
      say(`held ${number}`);
    } catch (error) {
      if (!(error instanceof SpoolError)) throw error;
      say(`refused ${number} ${error.message}`);
    }
  }
  await spool.close();
} catch (error) {
  if (!(error instanceof SpoolError)) throw error;
  say(`stopped ${error.message}`);
}
