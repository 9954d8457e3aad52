/** A certificate that is its own authority, for next hops of the tests. Adapter over openssl. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./programs.ts";

/** PEM, valid for two days. */
export async function makeCertificate(host: string): Promise<{ certificate: string; key: string }> {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-certificate-"));
  const [key, certificate] = [join(directory, "key"), join(directory, "certificate")];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const names = ["-subj", "/CN=next-hop", "-addext", `subjectAltName=DNS:${host}`];
  try {
    const files = ["-keyout", key, "-out", certificate];
    await run(["openssl", "req", "-x509", ...curve, ...names, "-days", "2", ...files]);
    return { key: readFileSync(key, "utf8"), certificate: readFileSync(certificate, "utf8") };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
