/** Whether a request shows the token that a file holds (RFC 6750, section 2.1). Adapter over the file system. */
import { createHash, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";

const tokenCharsMin = 16;

/** The file is read each time, so that a new token counts at once. A file that is missing or too short lets nobody in. */
export async function showsToken(request: IncomingMessage, tokenFile: string): Promise<boolean> {
  const [, shown = ""] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? "") ?? [];
  const token = await readFile(tokenFile, "utf8").then(
    (text) => text.trim(),
    () => "",
  );
  return token.length >= tokenCharsMin && timingSafeEqual(digest(shown), digest(token));
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
