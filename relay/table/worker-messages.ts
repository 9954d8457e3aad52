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
      readonly incomplete: boolean;
      readonly keys: number;
      readonly credentials: readonly VersionedCredential[];
      readonly ms: number;
    }
  | { readonly kind: "problems"; readonly problems: readonly Problem[] };
