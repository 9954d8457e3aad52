/**
 * The users of an installation: a YAML file of names, password hashes and whom each may send as. Pure: text
 * in, users or complaints out. Whoever keeps the file is the installation's admin.
 */
import { parse } from "yaml";
import { z } from "zod";
import { FieldReader } from "../../routing/field-reader.ts";
import type { SenderKey } from "../../routing/key.ts";
import { senders } from "../../routing/schema.ts";
import { type PasswordHash, parsePasswordHash } from "./password-hash.ts";

export type User = {
  readonly name: string;
  readonly hash: PasswordHash;
  readonly senders: readonly SenderKey[];
  readonly messagesPerHour: number | undefined;
};

export type ParsedUsers =
  | { readonly ok: true; readonly users: ReadonlyMap<string, User> }
  | { readonly ok: false; readonly complaints: readonly string[] };

const usersMax = 10_000;
const complaintsShownMax = 10;

const usersSchema = z.strictObject({
  users: z
    .array(
      z.strictObject({
        name: z
          .string()
          .min(1)
          .max(255)
          .regex(/^[^\p{Cc}\s]+$/u, "must have no spaces or control characters"),
        password: z.string().max(400),
        senders,
        messagesPerHour: z.int().min(1).max(1_000_000_000).optional(),
      }),
    )
    .max(usersMax),
});

/** Names are compared as written. */
export function parseUsers(text: string): ParsedUsers {
  let raw: unknown;
  try {
    raw = parse(text);
  } catch (error) {
    return { ok: false, complaints: [`not YAML: ${(error as Error).message.split("\n")[0]}`] };
  }
  const result = usersSchema.safeParse(raw ?? {});
  if (!result.success) {
    const all = result.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
    return { ok: false, complaints: all.slice(0, complaintsShownMax) };
  }
  const users = new Map<string, User>();
  const complaints: string[] = [];
  for (const [index, user] of result.data.users.entries()) {
    const { name, password, senders: given, messagesPerHour } = user;
    const field = `users.${index}`;
    const hash = parsePasswordHash(password);
    const read = new FieldReader();
    const keys = read.keys(given, `${field}.senders`);
    complaints.push(...read.issues.map(({ path, message }) => `${path}: ${message}`));
    if (typeof hash === "string") complaints.push(`${field}.password: ${hash}`);
    else if (users.has(name)) complaints.push(`${field}.name: ${name} is there twice`);
    else users.set(name, { name, hash, senders: keys, messagesPerHour });
  }
  if (complaints.length > 0)
    return { ok: false, complaints: complaints.slice(0, complaintsShownMax) };
  return { ok: true, users };
}
