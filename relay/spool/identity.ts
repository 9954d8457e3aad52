/**
 * Whether the spool is the file that it was: a copy that was put back (from a backup, by rsync) is another file
 * of the same content. Adapter over stat; the mark that it makes is kept in the spool itself.
 */
import { statSync } from "node:fs";
import { join } from "node:path";

/** Inode and time of birth of LMDB's file, as text. */
export function identityOf(directory: string): string {
  const { ino, birthtimeNs } = statSync(join(directory, "data.mdb"), { bigint: true });
  return `${ino} ${birthtimeNs}`;
}

/**
 * By the time of birth where the file system keeps one: a file that takes another's place is often given its inode.
 * Else by the inode.
 */
export function isOtherFile(mark: string, identity: string): boolean {
  const [inode, birth = "0"] = mark.split(" ");
  const [inodeNow, birthNow = "0"] = identity.split(" ");
  return birth === "0" || birthNow === "0" ? inode !== inodeNow : birth !== birthNow;
}
