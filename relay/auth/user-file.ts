/**
 * The users' file, read again when it changes (a mounted Secret's swap). Adapter: a file that is wrong keeps
 * the users in force and is complained of.
 */
import { readFile } from "node:fs/promises";
import { parseUsers, type User } from "./users.ts";

export type UserFileEvents = {
  swapped(): void;
  problem(text: string): void;
};

export type UserFile = {
  readonly users: ReadonlyMap<string, User>;
  stop(): void;
};

export const lookMsDefault = 5000;

/** Throws, with words, where the first file cannot be used. */
export async function watchUsers(
  file: string,
  events: UserFileEvents,
  lookMs = lookMsDefault,
): Promise<UserFile> {
  let seen = await read(file);
  let users = usersIn(file, seen);
  let complained = "";
  const look = async (): Promise<void> => {
    try {
      const text = await read(file);
      if (text === seen) return;
      users = usersIn(file, text);
      seen = text;
      complained = "";
      events.swapped();
    } catch (error) {
      const text = `${(error as Error).message}; the users in force stay`;
      if (text !== complained) events.problem(text);
      complained = text;
    }
  };
  const timer = setInterval(() => void look(), lookMs).unref();
  return {
    get users() {
      return users;
    },
    stop: () => clearInterval(timer),
  };
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    throw new Error(`cannot read ${file}: ${(cause as Error).message}`, { cause });
  }
}

function usersIn(file: string, text: string): ReadonlyMap<string, User> {
  const parsed = parseUsers(text);
  if (!parsed.ok) throw new Error(`${file}: ${parsed.complaints.join("; ")}`);
  return parsed.users;
}
