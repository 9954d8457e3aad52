/**
 * Signs messages for those who ask (DKIM): keys from Secrets, a body's hash slice by slice so that a big one holds
 * nobody up, each signature made once for a message and way out. Adapter of node:crypto; who signs is decided in
 * routing/signers.ts. Where it cannot sign the answer is a Trouble, never a message without signature.
 */
import { createHash, createPrivateKey, type KeyObject } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { CredentialRef, Signer } from "../../../routing/route.ts";
import { headerBlock } from "../header.ts";
import type { Credentials } from "../options.ts";
import { deferred, type Trouble } from "../reply.ts";
import { signatureField } from "./signature.ts";

export type Signed = { readonly field: Uint8Array } | { readonly trouble: Trouble };

export type SigningOptions = {
  readonly credentials: Credentials;
  /** Epoch ms. */
  readonly now: () => number;
};

const sliceBytes = 1024 * 1024;
const keysMax = 1000;
const signaturesMax = 2000;
/** RFC 8301 section 3.2. */
const rsaBitsMin = 1024;

export class Signing {
  private readonly options: SigningOptions;
  private readonly keys = new Map<string, KeyObject | string>();
  /** By message and signer; the oldest first. */
  private readonly made = new Map<string, Uint8Array>();

  constructor(options: SigningOptions) {
    this.options = options;
  }

  /** The field that goes before `body`; `id` is the message's. */
  async sign(id: string, body: Uint8Array, signer: Signer): Promise<Signed> {
    const { domain, selector, key: ref } = signer;
    if (ref === undefined) return unable(domain, signer.unavailable ?? "it has no key");
    const name = `${id} ${domain} ${selector} ${ref.secret} ${ref.version}`;
    const known = this.made.get(name);
    if (known !== undefined) return { field: known };
    const key = this.keyOf(ref);
    if (typeof key === "string") return unable(domain, key);
    const header = headerBlock(body, body.length);
    const bodyHash = await hashOf(body.subarray(header.length + 2));
    const nowMs = this.options.now();
    const field = signatureField({ domain, selector, key, header, bodyHash, nowMs });
    this.made.set(name, field);
    const oldest = this.made.keys().next();
    if (this.made.size > signaturesMax && !oldest.done) this.made.delete(oldest.value);
    return { field };
  }

  /** The key, or what is wrong with it. */
  private keyOf(ref: CredentialRef): KeyObject | string {
    const name = `${ref.secret} ${ref.version}`;
    const known = this.keys.get(name);
    if (known !== undefined) return known;
    const credential = this.options.credentials.get(ref);
    if (credential === undefined)
      return `version ${ref.version} of Secret ${ref.secret} is not here`;
    const key = keyIn(credential.dkimKey ?? "") ?? `Secret ${ref.secret} has no usable dkim.key`;
    this.keys.set(name, key);
    const oldest = this.keys.keys().next();
    if (this.keys.size > keysMax && !oldest.done) this.keys.delete(oldest.value);
    return key;
  }
}

function keyIn(pem: string): KeyObject | undefined {
  try {
    const key = createPrivateKey(pem);
    const { modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
    const isRsa = key.asymmetricKeyType === "rsa" && modulusLength >= rsaBitsMin;
    return isRsa || key.asymmetricKeyType === "ed25519" ? key : undefined;
  } catch {
    return undefined;
  }
}

const crlf = Buffer.from("\r\n");

/** RFC 6376 section 3.4.3: empty lines at the end do not count, and a body ends with CRLF. */
async function hashOf(body: Uint8Array): Promise<string> {
  let end = body.length;
  while (end >= 2 && body[end - 2] === 0x0d && body[end - 1] === 0x0a) end -= 2;
  const hash = createHash("sha256");
  for (let at = 0; at < end; at += sliceBytes) {
    if (at > 0) await nextTurn();
    hash.update(body.subarray(at, Math.min(at + sliceBytes, end)));
  }
  return hash.update(crlf).digest("base64");
}

function unable(domain: string, why: string): Signed {
  return { trouble: deferred("unavailable", "4.3.5", `no DKIM signature for ${domain}: ${why}`) };
}
