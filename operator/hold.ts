/**
 * One occasion on which the guard holds tables back: what a person was shown that he would lose, and whether what he
 * approved covers what would go now. State without I/O. An approval is of losses, not of a table, so that others may
 * go on editing meanwhile; it covers what was shown under its digest and less, and counts on this occasion only.
 */
import { createHash, randomBytes } from "node:crypto";

/** Of all that is remembered as shown: of a large loss that changes on and on only the last few. */
const lossesMax = 200_000;

export class Hold {
  /** Drawn, so that what was approved on another occasion is not approved on this one. */
  readonly occasion: string;
  /** What was said last. */
  message = "";
  /** By digest, the latest last. */
  readonly #shown = new Map<string, ReadonlySet<string>>();

  /** `occasion` as the manifest says it, where an earlier leader has begun it. */
  constructor(occasion: string = randomBytes(16).toString("base64url")) {
    this.occasion = occasion;
  }

  /** The digest that approves these losses, and any part of them. */
  show(losses: ReadonlySet<string>): string {
    const digest = this.#digestOf(losses);
    this.#shown.delete(digest);
    this.#shown.set(digest, losses);
    let count = 0;
    for (const [each, { size }] of [...this.#shown].reverse()) {
      count += size;
      if (count > lossesMax && each !== digest) this.#shown.delete(each);
    }
    return digest;
  }

  /** `approved` as the annotation says it. */
  covers(approved: string | undefined, losses: ReadonlySet<string>): boolean {
    if (approved === undefined) return false;
    // An earlier leader may have shown it.
    if (approved === this.#digestOf(losses)) return true;
    const shown = this.#shown.get(approved);
    return shown !== undefined && [...losses].every((each) => shown.has(each));
  }

  #digestOf(losses: ReadonlySet<string>): string {
    const hash = createHash("sha256").update(this.occasion);
    for (const loss of [...losses].sort()) hash.update(`\n${loss}`);
    return hash.digest("hex");
  }
}
