/**
 * Takes the PROXY header off a new connection before anybody else reads from it. Adapter over the socket:
 * exactly the header's bytes are consumed, what follows is there for SMTP or for the TLS handshake.
 */
import type { Socket } from "node:net";
import { type Forwarded, parseProxyHeader } from "./proxy-header.ts";

/** What came of a connection at a PROXY twin; a closed set, used as a metric label. */
export type ProxyResult =
  /** It came with a client's address. */
  | "forwarded"
  /** It is the balancer's own (LOCAL, UNKNOWN): a health check, mostly. */
  | "own"
  /** Not from a listed balancer. */
  | "stranger"
  | "malformed"
  /** The header was not whole in time. */
  | "late"
  /** Closed before its header was whole. */
  | "closed"
  /** Too many connections are waiting for their headers. */
  | "crowded";

export type HeaderRead =
  | { readonly result: "forwarded"; readonly forwarded: Forwarded }
  | { readonly result: "own" }
  | { readonly result: "malformed" | "late" | "closed"; readonly text: string };

/**
 * Calls `done` once, in the turn in which the header is whole. Where there is none within `msMax` or it is
 * malformed, the socket is destroyed first: nothing is said, as who speaks there is not known.
 */
export function readProxyHeader(
  socket: Socket,
  msMax: number,
  done: (read: HeaderRead) => void,
): void {
  let input: Buffer = Buffer.alloc(0);
  const finish = (read: HeaderRead): void => {
    clearTimeout(timer);
    socket.off("readable", look).off("end", closed).off("close", closed);
    if ("text" in read) socket.destroy();
    else socket.off("error", ignore);
    done(read);
  };
  const look = (): void => {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) return;
    input = input.length === 0 ? chunk : Buffer.concat([input, chunk]);
    const parsed = parseProxyHeader(input);
    if (parsed.kind === "more") return;
    if (parsed.kind === "malformed") {
      finish({ result: "malformed", text: parsed.text });
      return;
    }
    if (parsed.bytes < input.length) socket.unshift(input.subarray(parsed.bytes));
    const { forwarded } = parsed;
    finish(forwarded === undefined ? { result: "own" } : { result: "forwarded", forwarded });
  };
  const closed = (): void =>
    finish({ result: "closed", text: `closed after ${input.length} bytes` });
  const late = (): void => finish({ result: "late", text: `${input.length} bytes in ${msMax} ms` });
  const timer = setTimeout(late, msMax);
  socket.on("readable", look).on("end", closed).on("close", closed).on("error", ignore);
}

/** "close" follows. */
function ignore(): void {}
