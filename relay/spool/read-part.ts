/** A part of a file, read whole: adapter. It knows nothing of what it reads. */
import { type FileHandle, open } from "node:fs/promises";

/** Fewer octets than `bytesMax` where the file ends before. Rejects where it cannot be read. */
export async function readPart(path: string, at: number, bytesMax: number): Promise<Buffer> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    return await readFrom(file, at, Math.max(0, Math.min(bytesMax, size - at)));
  } finally {
    await file.close();
  }
}

/** As `readPart`, of an open file; `bytesMax` is known to be sound: so much memory is taken. */
export async function readFrom(file: FileHandle, at: number, bytesMax: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(bytesMax);
  let filled = 0;
  while (filled < bytes.length) {
    const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, at + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}
