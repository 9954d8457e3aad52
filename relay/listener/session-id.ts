/** Short random ids for sessions: enough to find a session's log lines, no secret. */

/** Without i, l, o, u: nothing to misread when typed from a log. */
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH = 10;

/** Ten characters of base 32: 50 bits, of a generator that costs a hundredth of one for secrets. */
export function newSessionId(): string {
  let id = "";
  while (id.length < LENGTH) id += ALPHABET[Math.floor(Math.random() * ALPHABET.length)];
  return id;
}
