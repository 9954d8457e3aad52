/** What a commit changes, and how the journal says it: pure. Which bodies are files of their own is decided here. */
import { type Frame, type Item, makeFrame } from "./frame.ts";
import type { Envelope, State } from "./records.ts";

export type Accept = {
  readonly kind: "accept";
  readonly envelope: Envelope;
  readonly body: Buffer;
};
export type Change =
  | Accept
  | { readonly kind: "update"; readonly id: string; readonly state: State }
  | { readonly kind: "remove"; readonly envelope: Envelope };

/** Of bodies, by their messages' ids. */
export type FileNames = ReadonlyMap<string, string>;

/** From here on a body is a file of its own: docs/decisions.md says why not all are in the journal. */
const fileBytesMin = 256 * 1024;

/** Whether its body is to be a file of its own. */
export function isBig({ body }: Accept): boolean {
  return body.length >= fileBytesMin;
}

/** One frame of them all; bodies that are in `files` are named in it and no part of it. */
export function frameOf(changes: readonly Change[], files: FileNames): Frame {
  const items: Item[] = [];
  const bodies: Uint8Array[] = [];
  for (const change of changes) {
    if (change.kind === "update") items.push({ update: change.id, state: change.state });
    else if (change.kind === "remove") items.push({ remove: change.envelope.id });
    else {
      const { envelope, body } = change;
      const file = files.get(envelope.id);
      if (file === undefined) bodies.push(body);
      items.push({ accept: envelope, bytes: file === undefined ? body.length : 0, file });
    }
  }
  return makeFrame(items, bodies);
}

/** Ids of messages that are there already and are changed. */
export function changedIn(changes: readonly Change[]): string[] {
  return changes.flatMap((each) => {
    if (each.kind === "accept") return [];
    return each.kind === "update" ? each.id : each.envelope.id;
  });
}
