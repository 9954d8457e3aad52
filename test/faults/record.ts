/**
 * The shim's record, read: one value for each call that changed the spool's directory, in the order in which
 * they ended. Pure. A record that was cut off by the process's end ends with its last whole entry.
 */
export type Call =
  | {
      readonly kind: "open";
      readonly file: string;
      readonly path: string;
      readonly isEmptied: boolean;
    }
  | {
      readonly kind: "write";
      readonly file: string;
      readonly offset: number;
      readonly data: Buffer;
      /** By O_DSYNC: it was on disk when the call returned. */
      readonly isDurable: boolean;
    }
  | { readonly kind: "truncate"; readonly file: string; readonly length: number }
  | { readonly kind: "syncBegun"; readonly file: string; readonly turn: number }
  | {
      readonly kind: "synced";
      readonly file: string;
      readonly turn: number;
      readonly isFailed: boolean;
    }
  | { readonly kind: "rename"; readonly path: string; readonly to: string }
  | { readonly kind: "unlink" | "mkdir" | "rmdir"; readonly path: string };

const headBytes = 30;

export function* readRecord(bytes: Buffer): Generator<Call> {
  for (let at = 0; at + headBytes <= bytes.length; ) {
    const pathBytes = bytes.readUInt16LE(at + 2);
    const otherBytes = bytes.readUInt16LE(at + 4);
    const dataBytes = bytes.readUInt32LE(at + 22);
    const pathEnd = at + headBytes + pathBytes;
    const otherEnd = pathEnd + otherBytes;
    const end = otherEnd + dataBytes;
    if (end > bytes.length) return;
    const call = callOf({
      type: bytes[at] ?? 0,
      flags: bytes[at + 1] ?? 0,
      file: String(bytes.readBigUInt64LE(at + 6)),
      offset: Number(bytes.readBigUInt64LE(at + 14)),
      turn: bytes.readUInt32LE(at + 26),
      path: bytes.toString("utf8", at + headBytes, pathEnd),
      other: bytes.toString("utf8", pathEnd, otherEnd),
      data: bytes.subarray(otherEnd, end),
    });
    yield call;
    at = end;
  }
}

type Fields = {
  readonly type: number;
  readonly flags: number;
  readonly file: string;
  readonly offset: number;
  readonly turn: number;
  readonly path: string;
  readonly other: string;
  readonly data: Buffer;
};

function callOf({ type, flags, file, offset, turn, path, other, data }: Fields): Call {
  switch (type) {
    case 1:
      return { kind: "open", file, path, isEmptied: (flags & 2) !== 0 };
    case 2:
      return { kind: "write", file, offset, data, isDurable: (flags & 1) !== 0 };
    case 3:
      return { kind: "truncate", file, length: offset };
    case 4:
      return { kind: "syncBegun", file, turn };
    case 5:
      return { kind: "synced", file, turn, isFailed: (flags & 4) !== 0 };
    case 6:
      return { kind: "rename", path, to: other };
    case 7:
      return { kind: "unlink", path };
    case 8:
      return { kind: "mkdir", path };
    case 9:
      return { kind: "rmdir", path };
    default:
      throw new Error(`the record has an entry of an unknown kind: ${type}`);
  }
}
