/**
 * Whether a segment of the journal is the file that it was: a copy that was put back (from a backup, by rsync) is
 * another file of the same content. Adapter over stat; the mark that it makes is kept in the segment itself.
 */
import { statSync } from "node:fs";

/** Inode and time of birth, as text. Throws where there is no such file. */
export function identityOf(path: string): string {
  const { ino, birthtimeNs } = statSync(path, { bigint: true });
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
