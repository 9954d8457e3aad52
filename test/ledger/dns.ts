/**
 * A name server that knows nothing and counts who asks: every question is answered NXDOMAIN. For tests in
 * which no mail may leave by MX: a question is already one too many.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";

export type CountingDns = {
  readonly address: string;
  /** Domains that were asked about; the question for a policy (RFC 8461) is one about its domain. */
  questions(): readonly string[];
  close(): void;
};

export async function countingDns(): Promise<CountingDns> {
  const socket = createSocket("udp4");
  const asked: string[] = [];
  socket.on("message", (query, from) => {
    asked.push(nameIn(query));
    const answer = Buffer.from(query);
    answer.writeUInt16BE(0x8183, 2); // response, recursion available, NXDOMAIN
    answer.writeUInt16BE(0, 10); // the query's EDNS record is not repeated
    socket.send(answer, from.port, from.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return {
    address: `127.0.0.1:${socket.address().port}`,
    questions: () => asked.map((name) => name.replace(/^_mta-sts\./, "")),
    close: () => socket.close(),
  };
}

function nameIn(query: Buffer): string {
  const labels: string[] = [];
  for (let at = 12; (query[at] ?? 0) > 0; at += (query[at] ?? 0) + 1) {
    labels.push(query.toString("latin1", at + 1, at + 1 + (query[at] ?? 0)));
  }
  return labels.join(".");
}
