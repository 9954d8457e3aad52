/** A relay under measurement: ours or a peer, as the benchmark sees it. */
export type Subject = {
  readonly name: string;
  /** Whether it syncs to disk before 250. */
  readonly syncs: boolean;
  readonly port: number;
  /** The process whose tree costs. */
  readonly pid: number;
  /** Messages that it has taken and not yet handed on. */
  queued(): Promise<number> | number;
  close(): Promise<void> | void;
};
