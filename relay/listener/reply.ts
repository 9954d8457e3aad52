/**
 * Pure: writes a reply as it goes over the wire (RFC 5321 section 4.2, RFC 2034). Whatever text a
 * reply carries, it cannot end its line early, begin another reply, or leave ASCII.
 */
import type { Reply } from "../outcome.ts";

const PLAIN = /^[\x20-\x7e]{0,450}$/;
const STATUS = /^[245]\.\d{1,3}\.\d{1,3}$/;
/** RFC 5321 section 4.5.3.1.5: 512 octets with code and CRLF. */
const PIECE = /.{1,450}/g;

/**
 * "code status text", one line per line of text. A 3xx code or an empty status goes out without
 * one; a code that is none becomes 451.
 */
export function formatReply(reply: Reply): string {
  const code = reply.code >= 200 && reply.code <= 599 ? Math.trunc(reply.code) : 451;
  const status = statusOf(code, reply.status);
  if (PLAIN.test(reply.text)) return `${code} ${status}${reply.text}\r\n`;
  const lines = reply.text
    .split(/\r?\n/)
    .map((line) => line.replace(/[^\x20-\x7e]/g, "?"))
    .flatMap((line) => line.match(PIECE) ?? [""]);
  const last = lines.length - 1;
  return lines.map((line, i) => `${code}${i < last ? "-" : " "}${status}${line}\r\n`).join("");
}

function statusOf(code: number, status: string): string {
  if (code >= 300 && code < 400) return "";
  if (status === "") return "";
  return STATUS.test(status) ? `${status} ` : `${Math.floor(code / 100)}.0.0 `;
}
