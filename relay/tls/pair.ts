/**
 * A certificate and its key, and the CAs of clients, from PEM files. Adapter over the file system and OpenSSL: what
 * cannot be used is a fault that names the setting and the file, and says what to do.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { namesOf } from "../listener/certificate-names.ts";
import { mailContext } from "../listener/tls-context.ts";
import type { Read } from "./watched-files.ts";

export type PairFiles = { readonly certificateFile: string; readonly keyFile: string };

export type Pair = {
  readonly cert: string;
  readonly key: string;
  /** Lower-case; wildcards as written. */
  readonly names: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
};

/** `field`: where the files are named, as "tls.certificates.0". */
export async function readPair(files: PairFiles, field: string): Promise<Read<Pair>> {
  const cert = await readPem(files.certificateFile, `${field}.certificateFile`);
  if (!cert.ok) return cert;
  const key = await readPem(files.keyFile, `${field}.keyFile`);
  if (!key.ok) return key;
  const pem = { cert: cert.value, key: key.value };
  const certificate = tried(() => new X509Certificate(pem.cert));
  if (certificate instanceof Error) {
    const text = `${files.certificateFile} holds no certificate in PEM`;
    return { ok: false, where: `${field}.certificateFile`, text };
  }
  const privateKey = tried(() => createPrivateKey(pem.key));
  if (privateKey instanceof Error) {
    const text = `${files.keyFile} holds no private key in PEM without a passphrase`;
    return { ok: false, where: `${field}.keyFile`, text };
  }
  // OpenSSL itself would take a key of another kind, and no handshake would come about.
  if (!certificate.checkPrivateKey(privateKey)) {
    const text = `${files.keyFile} is not the key of ${files.certificateFile}; give two that belong together`;
    return { ok: false, where: `${field}.keyFile`, text };
  }
  const context = tried(() => mailContext(pem));
  if (context instanceof Error) {
    const text = `${files.certificateFile} cannot be used: ${context.message}`;
    return { ok: false, where: `${field}.certificateFile`, text };
  }
  const notBeforeMs = certificate.validFromDate.getTime();
  const notAfterMs = certificate.validToDate.getTime();
  return { ok: true, value: { ...pem, names: namesOf(certificate), notBeforeMs, notAfterMs } };
}

const block = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The CAs that sign clients' certificates, as PEM in which every certificate can be read. */
export async function readClientCa(file: string): Promise<Read<string>> {
  const where = "tls.clientCertificates.caFile";
  const pem = await readPem(file, where);
  if (!pem.ok) return pem;
  const certificates = (pem.value.match(block) ?? []).map((each) =>
    tried(() => new X509Certificate(each)),
  );
  const isSound = certificates.every((each) => !(each instanceof Error));
  if (certificates.length > 0 && isSound) return pem;
  return { ok: false, where, text: `${file} does not hold certificates in PEM` };
}

/** What the calendar says against a pair; undefined when it is in force. */
export function dateFault(pair: Pair, { certificateFile }: PairFiles, nowMs: number) {
  const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
  if (nowMs > pair.notAfterMs) {
    return `${certificateFile} has expired on ${day(pair.notAfterMs)}; renew it`;
  }
  if (nowMs < pair.notBeforeMs) {
    return `${certificateFile} counts from ${day(pair.notBeforeMs)} only; is the clock right?`;
  }
  return undefined;
}

async function readPem(file: string, where: string): Promise<Read<string>> {
  try {
    return { ok: true, value: await readFile(file, "utf8") };
  } catch (error) {
    return { ok: false, where, text: `cannot read ${file}: ${(error as Error).message}` };
  }
}

function tried<T>(parse: () => T): T | Error {
  try {
    return parse();
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
