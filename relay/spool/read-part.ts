/** A part of a file, read whole: adapter. It knows nothing of what it reads. */
import { open } from "node:fs/promises";

/** Fewer octets than `bytesMax` where the file ends before; `size` is all that it has. Rejects where it cannot be read. */
export async function readPart(
  path: string,
  at: number,
  bytesMax: number,
): Promise<{ readonly bytes: Buffer; readonly size: number }> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const bytes = Buffer.allocUnsafeSlow(Math.max(0, Math.min(bytesMax, size - at)));
    let filled = 0;
    while (filled < bytes.length) {
      const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, at + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return { bytes: bytes.subarray(0, filled), size };
  } finally {
    await file.close();
  }
}
