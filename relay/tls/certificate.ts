/**
 * The listener's certificate, from PEM files that may change while running (a mounted Secret's swap, an
 * ACME client's renewal). Adapter: a pair that does not fit keeps the one in force and is complained of.
 */
import { readFile, stat } from "node:fs/promises";
import type { SecureContext } from "node:tls";
import { mailContext } from "../listener/tls-context.ts";

export type CertificateFiles = { readonly certificateFile: string; readonly keyFile: string };

export type CertificateEvents = {
  swapped(): void;
  problem(text: string): void;
};

export type Certificate = {
  context(): SecureContext;
  stop(): void;
};

const lookMs = 5000;

/** Throws where the first pair cannot be used; the message names the file. */
export async function watchCertificate(
  files: CertificateFiles,
  events: CertificateEvents,
): Promise<Certificate> {
  let current = await load(files);
  let seen = await fingerprint(files);
  let complained = "";
  const look = async (): Promise<void> => {
    const now = await fingerprint(files);
    if (now === seen) return;
    try {
      current = await load(files);
      seen = now;
      complained = "";
      events.swapped();
    } catch (error) {
      // Files of a pair change one after the other: looked at again until they fit.
      const text = `${(error as Error).message}; the certificate in force stays`;
      if (text !== complained) events.problem(text);
      complained = text;
    }
  };
  const timer = setInterval(() => void look(), lookMs);
  timer.unref();
  return { context: () => current, stop: () => clearInterval(timer) };
}

async function load({ certificateFile, keyFile }: CertificateFiles): Promise<SecureContext> {
  const [cert, key] = await Promise.all([readPem(certificateFile), readPem(keyFile)]);
  try {
    return mailContext({ cert, key });
  } catch (error) {
    throw new Error(
      `${certificateFile} and ${keyFile} are not a certificate and its key: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

async function readPem(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new Error(`cannot read ${file}: ${(error as Error).message}`, { cause: error });
  }
}

async function fingerprint(files: CertificateFiles): Promise<string> {
  const stats = await Promise.all(
    [files.certificateFile, files.keyFile].map(
      async (file) => await stat(file).catch(() => undefined),
    ),
  );
  return stats.map((each) => `${each?.mtimeMs}/${each?.size}/${each?.ino}`).join(" ");
}
