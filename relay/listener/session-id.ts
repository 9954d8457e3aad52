/** Short random ids for sessions: enough to find a session's log lines, no secret. */
import { randomBytes } from "node:crypto";

/** Without i, l, o, u: nothing to misread when typed from a log. */
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH = 10;

/** Ten characters of base 32: 50 random bits. */
export function newSessionId(): string {
  let id = "";
  for (const byte of randomBytes(LENGTH)) id += ALPHABET[byte & 31];
  return id;
}
