/** Postfix as the peer of the benchmark: what the load needs beyond Debian's defaults. */
import { type Postfix, startPostfix } from "../peers/postfix.ts";

type BenchPostfix = Postfix & { readonly port: number };

export type BenchPostfixOptions = { readonly port: number; readonly sinkPort: number };

/** Its queue is on the same file system as ours. */
export async function startBenchPostfix(options: BenchPostfixOptions): Promise<BenchPostfix> {
  const { port, sinkPort } = options;
  const postfix = await startPostfix({
    ports: new Map([[port, {}]]),
    settings: {
      relayhost: `[127.0.0.1]:${sinkPort}`,
      smtpd_client_connection_count_limit: "0",
      default_process_limit: "100",
      default_destination_concurrency_limit: "50",
    },
  });
  return { ...postfix, port };
}
