/** What passes between the relay and the thread that makes its tables. */
import type { Installation } from "../../routing/delegation.ts";
import type { VersionedCredential } from "./resources.ts";

export type WorkerOptions = {
  readonly directory: string;
  readonly installation: Installation;
  /** Where the table is kept over restarts; undefined: nowhere. */
  readonly copyDirectory?: string;
};

export type Problem = { readonly where: string; readonly text: string };

export type FromWorker =
  | {
      readonly kind: "table";
      readonly manifest: string;
      /** Those that no earlier message carried. */
      readonly shards: ReadonlyMap<string, Uint8Array>;
      /** It may be old, or lack keys: only explicit keys count. */
      readonly stale: boolean;
      /** It lacks keys of which nobody knows: suffixes do not count either. */
      readonly incomplete: boolean;
      readonly keys: number;
      readonly credentials: readonly VersionedCredential[];
      readonly ms: number;
    }
  | { readonly kind: "problems"; readonly problems: readonly Problem[] };
