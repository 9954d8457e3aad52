/** The operator's log: one JSON object a line, one function per event. Never a Secret's content. */
type Fields = Readonly<Record<string, string | number | boolean | undefined>>;

export type OperatorLog = ReturnType<typeof createOperatorLog>;

export function createOperatorLog(options: {
  readonly write: (text: string) => void;
  readonly now: () => number;
}) {
  const line = (level: "info" | "warn" | "error", event: string, fields: Fields): void => {
    const time = new Date(options.now()).toISOString();
    options.write(`${JSON.stringify({ time, level, event, ...fields })}\n`);
  };
  return {
    started: (fields: {
      readonly version: string;
      readonly installation: string;
      readonly identity: string;
      readonly admin: number;
    }): void => line("info", "started", fields),
    leading: (): void => line("info", "leading", {}),
    lost: (why: string): void => line("warn", "lost", { why }),
    stopped: (): void => line("info", "stopped", {}),
    published: (fields: {
      readonly digest: string;
      readonly keys: number;
      readonly compileMs: number;
      readonly credentials: boolean;
    }): void => line("info", "published", fields),
    heldBack: (fields: {
      readonly why: string;
      /** Of what would be lost. */
      readonly digest: string;
      readonly approve: string;
      readonly losses: number;
      readonly some: string;
    }): void => line("error", "held-back", fields),
    released: (): void => line("info", "released", {}),
    event: (fields: {
      readonly route: string;
      readonly reason: string;
      readonly message: string;
    }): void => line("warn", "event", fields),
    watch: (fields: {
      readonly kind: string;
      readonly path: string;
      readonly ok: boolean;
      readonly error?: string | undefined;
    }): void => line(fields.ok ? "info" : "warn", "watch", fields),
    /** Jobs have been made that empty what relays have left behind. */
    draining: (fields: { readonly jobs: string }): void => line("info", "draining", fields),
    problem: (fields: { readonly where: string; readonly text: string }): void =>
      line("warn", "problem", fields),
  };
}
