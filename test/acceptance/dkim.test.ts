/**
 * Signatures that Debian's python3-dkim verifies: first of all kinds of messages, then through a whole relay, with
 * the key in a Secret that a MailGrant names.
 */
import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { describe, test } from "node:test";
import { Signing } from "../../relay/delivery/dkim/signing.ts";
import { type Misbehaving, misbehaving } from "../../relay/delivery/misbehaving.testkit.ts";
import { eventually, hostsRoute, relayProcess } from "../ledger/relay-process.ts";
import { skipReason } from "../peers/debian.ts";
import { asFound, dkimVerifier, type Verified } from "../peers/dkim-verifier.ts";
import { send, stranger } from "./client.ts";
import { drained, logged } from "./hosts.ts";

const verifier = await dkimVerifier();
const skip = skipReason(asFound(verifier));
const name = "s1._domainkey.corp.test.";

function verified(message: Uint8Array, record: string): Verified {
  if ("missing" in verifier) throw new Error("the test should have been skipped");
  return verifier(message, { [name]: record });
}

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ed25519 = generateKeyPairSync("ed25519");
const pem = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" }).toString();
const rsaRecord = `v=DKIM1; k=rsa; p=${rsa.publicKey.export({ type: "spki", format: "der" }).toString("base64")}`;
// RFC 8463 section 4.2: the 32 octets alone.
const edRecord = `v=DKIM1; k=ed25519; p=${ed25519.publicKey.export({ type: "spki", format: "der" }).subarray(-32).toString("base64")}`;

const from = "From: Somebody <a@corp.test>\r\n";
const messages: readonly { title: string; message: Buffer }[] = [
  {
    title: "a plain one",
    message: Buffer.from(`${from}To: b@to.test\r\nSubject: x\r\n\r\nHello.\r\n`),
  },
  {
    title: "folded fields, blanks, fields of one name, and empty lines at the end",
    message: Buffer.from(
      `Received: one\r\nReceived: two\r\nfrom:  Somebody \t\r\n\t<a@corp.test>  \r\nSubject:a\t b\r\n  c \r\nTo: b@to.test\r\nTo: c@to.test\r\nReferences: <1@x>\r\n <2@x>\r\n\r\n  Hello  \r\n\r\n.\r\n\r\n\r\n`,
    ),
  },
  { title: "one without a body", message: Buffer.from(`${from}Subject: x\r\n\r\n`) },
  { title: "one without even the blank line", message: Buffer.from(from) },
  { title: "one whose body is empty lines", message: Buffer.from(`${from}\r\n\r\n\r\n\r\n`) },
  {
    title: "octets beyond ASCII in header and body, some of which Unicode takes for blanks",
    message: Buffer.concat([
      Buffer.from(`${from}Subject: voilà\r\n\r\nd\u00e9j\u00e0\r\n`),
      Buffer.from([0xa0, 0x85, 0xff, 0x20, 0x0d, 0x0a]),
    ]),
  },
  {
    title: "long lines and three megabytes",
    message: Buffer.from(
      `${from}Subject: ${"long ".repeat(150)}\r\n\r\n${`${"y".repeat(2000)}\r\n`.repeat(1500)}`,
    ),
  },
];

describe("DKIM", { skip, timeout: 120_000 }, () => {
  for (const { title, message } of messages) {
    test(`DKIM: RSA and Ed25519 signatures of a message are valid, and end with a changed octet: ${title}`, async () => {
      for (const [key, record] of [
        [rsa.privateKey, rsaRecord],
        [ed25519.privateKey, edRecord],
      ] as const) {
        const signing = new Signing({
          credentials: { get: () => ({ dkimKey: pem(key) }) },
          now: Date.now,
        });
        const ref = { secret: "mail/dkim", version: "1" };
        const signer = { domain: "corp.test", selector: "s1", key: ref };
        const signed = await signing.sign("id", message, signer);
        assert.ok("field" in signed);
        const whole = Buffer.concat([signed.field, message]);
        const result = verified(whole, record);
        assert.equal(result.valid, true, `${title}: ${result.why}`);
        assert.equal(result.domain, "corp.test");
        const altered = Buffer.from(whole.toString("latin1").replace("a@corp", "b@corp"), "latin1");
        assert.equal(verified(altered, record).valid, false);
        const added = Buffer.concat([Buffer.from("From: evil@other.test\r\n"), whole]);
        assert.equal(verified(added, record).valid, false);
      }
    });
  }

  test("DKIM: a relay signs what goes out where a grant has a key, waits for the key, and signs no stranger's mail", async (context) => {
    const next: Misbehaving = await misbehaving();
    const relay = relayProcess({ retry: { initialMs: 200, maxMs: 300 } });
    context.after(async () => {
      await relay.close();
      await next.close();
    });
    const secret = (...hosts: string[]): object => ({
      apiVersion: "v1",
      kind: "Secret",
      metadata: {
        name: "dkim",
        namespace: "mail",
        annotations: { "mailroute.dev/hosts": hosts.join(",") },
      },
      stringData: { "dkim.key": pem(rsa.privateKey) },
    });
    relay.routes("all.yaml", [
      {
        apiVersion: "mailroute.dev/v1alpha1",
        kind: "MailGrant",
        metadata: { name: "corp" },
        spec: {
          namespaces: { names: ["app"] },
          suffixes: ["corp.test"],
          dkim: [{ domain: "corp.test", selector: "s1", secretRef: { name: "dkim" } }],
        },
      },
      hostsRoute("away", { domains: ["to.test"] }, [{ host: "127.0.0.1", port: next.port }], {
        dkim: "Always",
        retry: { initial: "1s", max: "1s" },
      }),
      hostsRoute("plain", { domains: ["plain.test"] }, [{ host: "127.0.0.1", port: next.port }]),
      hostsRoute("open", { domains: ["open.test"] }, [{ host: "127.0.0.1", port: next.port }], {
        access: "Anyone",
        dkim: "Always",
      }),
    ]);
    relay.routes("secret.yaml", [secret("mx.corp.test:25")]);
    await relay.start();
    const letter = { from: "a@corp.test", subject: "x\r\nFrom: a@corp.test" };
    await send(relay.port(), { ...letter, to: ["b@to.test"] });
    await send(relay.port(), { ...letter, to: ["b@plain.test"] });
    await send(relay.port(), { ...letter, to: ["b@open.test"] }, stranger);
    const waits = (): boolean =>
      logged(relay, "deferred", { cause: "unavailable", status: "4.3.5" }).length >= 2;
    await eventually(waits, { msMax: 20_000, what: "deferred twice" });
    await eventually(() => next.messages.length === 2, {
      msMax: 20_000,
      what: "the others arrived",
    });
    assert.deepEqual(next.messages.flatMap(({ recipients }) => recipients).sort(), [
      "b@open.test",
      "b@plain.test",
    ]);
    for (const { body } of next.messages) assert.doesNotMatch(body.toString(), /DKIM-Signature/);
    const ready = await fetch(`http://127.0.0.1:${relay.adminPort()}/readyz`);
    assert.match(
      await ready.text(),
      /MailGrant corp: spec\.dkim\[0\]\.secretRef\.name: Secret mail\/dkim is not lent for DKIM: kubectl annotate/,
    );
    relay.routes("secret.yaml", [secret("dkim")]);
    await drained(relay);
    const signed = next.messages[2]?.body ?? Buffer.alloc(0);
    const result = verified(signed, rsaRecord);
    assert.equal(result.valid, true, `${result.why}`);
    assert.ok(result.signed.filter((field) => field.toLowerCase() === "from").length === 2);
    assert.doesNotMatch(JSON.stringify(relay.log()), /PRIVATE KEY/);
  });
});
