/** Pure: the far end's address in the one spelling that log, limits and trust see. */
import { parseIp } from "../../routing/domain.ts";

/** As a socket says it: without zone, IPv4-mapped unmapped; "" where the socket has gone. */
export function peerAddress(text: string | undefined): string {
  return parseIp((text ?? "").replace(/%.*$/, "")) ?? "";
}
