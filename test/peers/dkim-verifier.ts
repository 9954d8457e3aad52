/**
 * An independent verifier of DKIM signatures: Debian's python3-dkim, given the DNS records by the test. Ed25519
 * needs python3-nacl as well.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { ensureDebian, type Found } from "./debian.ts";

/** Debian's own: what is built for it in its packages fits no other. */
const python = "/usr/bin/python3";
const script = `
import base64, dkim, json, sys
asked = json.load(sys.stdin)
records = {name.encode(): text.encode() for name, text in asked["records"].items()}
verifier = dkim.DKIM(base64.b64decode(asked["message"]))
try:
    valid = verifier.verify(dnsfunc=lambda name, timeout=5: records.get(name))
    print(json.dumps({"valid": valid, "domain": (verifier.domain or b"").decode(), "signed": [h.decode() for h in getattr(verifier, "include_headers", [])]}))
except dkim.DKIMException as error:
    print(json.dumps({"valid": False, "domain": "", "signed": [], "why": str(error)}))
`;

export type Verified = {
  readonly valid: boolean;
  readonly domain: string;
  /** Names of the fields that the signature covers. */
  readonly signed: readonly string[];
  readonly why?: string;
};

export type Verifier = (
  message: Uint8Array,
  /** TXT records by name with the last dot: "s1._domainkey.corp.test.". */
  records: Readonly<Record<string, string>>,
) => Verified;

/** Or why it cannot be had here. */
export async function dkimVerifier(): Promise<Verifier | { readonly missing: string }> {
  const program = await ensureDebian("python3-dkim", "dkimverify");
  if ("missing" in program) return program;
  if (!existsSync(python)) return { missing: `there is no ${python}: apt-get install python3` };
  return (message, records) => {
    const input = JSON.stringify({ message: Buffer.from(message).toString("base64"), records });
    const paths = [join(dirname(program.path), "usr/lib/python3/dist-packages")];
    const { stdout, stderr } = spawnSync(python, ["-c", script], {
      input,
      env: { PYTHONPATH: paths.join(":") },
      encoding: "utf8",
      timeout: 30_000,
    });
    if (stdout === "") throw new Error(`the verifier says: ${stderr}`);
    return JSON.parse(stdout) as Verified;
  };
}

export function asFound(verifier: Verifier | { readonly missing: string }): Found {
  return "missing" in verifier ? verifier : { path: "" };
}
