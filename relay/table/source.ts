/** What every table source is and tells: a directory of files, or the operator's ConfigMaps. */
import type { Activated } from "./activation.ts";
import type { Problem } from "./worker-messages.ts";

export type SourceEvents = {
  activated(table: Activated): void;
  /** The whole list of what a person must mend now; empty when all is well. */
  problems(problems: readonly Problem[]): void;
  failed(error: unknown): void;
};

export interface TableSource {
  /** Resolves with the first table in force. */
  readonly first: Promise<void>;
  stop(): Promise<void>;
}
