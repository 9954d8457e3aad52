/** Submission: who can prove to be whom, and as whom he may then send, by real mail over TLS. */
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import type { TestClient } from "../../relay/listener/dialog.testkit.ts";
import { hostsRoute, type RelayProcess, relayProcess } from "../ledger/relay-process.ts";
import { greeted, hand, idIn, say, stranger } from "./client.ts";
import { hashOf, mailroute } from "./command.ts";
import { admin, drained, type Hosts, logged, startHosts, untilLogged } from "./hosts.ts";

const timeout = 60_000;
const directory = mkdtempSync(join(tmpdir(), "mailroute-submission-"));
const fixtures = join(import.meta.dirname, "../../relay/listener/fixtures");
const file = (name: string): string => join(directory, name);

let hosts: Hosts;
let relay: RelayProcess;

before(async () => {
  for (const part of ["cert", "key"])
    copyFileSync(join(fixtures, `mx.${part}.pem`), file(`${part}.pem`));
  const senders = '{suffixes: [shop.test], addresses: ["Billing@corp.test"]}';
  const users = [
    `{name: shop, password: "${hashOf("secret")}", senders: ${senders}}`,
    `{name: leaver, password: "${hashOf("soon")}", senders: ${senders}}`,
    `{name: admin, password: "${hashOf("root")}", senders: {suffixes: ["."]}}`,
  ];
  writeFileSync(file("users.yaml"), `users:\n${users.map((user) => `  - ${user}\n`).join("")}`);
  hosts = await startHosts(["one"]);
  relay = relayProcess({
    tls: { certificates: [{ certificateFile: file("cert.pem"), keyFile: file("key.pem") }] },
    authentication: { usersFile: file("users.yaml"), hideInReceived: true },
    listeners: [
      { name: "smtp", host: "127.0.0.1", port: 0 },
      { name: "submission", kind: "submission", host: "127.0.0.1", port: 0 },
    ],
    trustedNetworks: ["127.0.0.1/32"],
  });
  relay.routes("one.yaml", [hostsRoute("one", { suffixes: ["one.test"] }, hosts.target("one"))]);
  await relay.start();
});

after(async () => {
  await relay.close();
  await hosts.close();
  rmSync(directory, { recursive: true });
});

/** A stranger's connection over TLS, EHLO said. */
async function secured(listener = "submission"): Promise<TestClient> {
  const client = await greeted(relay.port(listener), stranger);
  assert.match(await say(client, "STARTTLS"), /^220 /);
  await client.startTls();
  await say(client, "EHLO client.test");
  return client;
}

async function loggedIn(user: string, password: string, listener?: string): Promise<TestClient> {
  const client = await secured(listener);
  const plain = Buffer.from(`\0${user}\0${password}`).toString("base64");
  assert.match(await say(client, `AUTH PLAIN ${plain}`), /^235 2\.7\.0 /);
  return client;
}

/** The answer to a message with this header. */
async function submit(client: TestClient, from: string, header: string): Promise<string> {
  for (const line of [`MAIL FROM:<${from}>`, "RCPT TO:<u@one.test>", "DATA"]) {
    const reply = await say(client, line);
    if (!/^[23]/.test(reply)) return reply;
  }
  return await say(client, `${header}\r\n\r\nHello.\r\n.`);
}

test("submission: a stranger who logs in sends anywhere, as whom he may, and is not told of in Received", {
  timeout,
}, async () => {
  const client = await loggedIn("shop", "secret");
  idIn(await submit(client, "a@eu.shop.test", "From: A <a@eu.shop.test>\r\nSubject: submitted"));
  idIn(await submit(client, "billing@corp.test", "From: billing@CORP.test\r\nSubject: billed"));
  client.socket.destroy();
  await drained(relay);
  const [arrival] = hosts.subject("submitted");
  assert.match(
    arrival?.text ?? "",
    /^Received: by relay\.test \(Mailroute mail\/default\)\r\n\twith ESMTPSA id /,
  );
  assert.equal(logged(relay, "accepted", { user: "shop" }).length, 2);
  const { body: metrics } = await admin(relay, "/metrics");
  assert.match(metrics, /^mailroute_submitted_total\{namespace=""\} 2$/m);
  assert.match(
    metrics,
    /^mailroute_authentications_total\{mechanism="PLAIN",result="authenticated"\} 1$/m,
  );
});

const refused: readonly [what: string, from: string, header: string, says: RegExp][] = [
  [
    "somebody else's envelope",
    "ceo@corp.test",
    "From: a@shop.test",
    /^550 5\.7\.1 shop may not send as <ceo@corp\.test>$/,
  ],
  [
    "the null sender",
    "",
    "From: a@shop.test",
    /^550 5\.7\.1 shop may not send with the null sender$/,
  ],
  [
    "somebody else's From",
    "a@shop.test",
    "From: ceo@corp.test",
    /^550 5\.7\.1 .*<ceo@corp\.test>$/,
  ],
  [
    "two From fields",
    "a@shop.test",
    "From: a@shop.test\r\nFrom: ceo@corp.test",
    /^550 5\.7\.1 .*more than one From/,
  ],
  [
    "somebody else's Sender",
    "a@shop.test",
    "From: a@shop.test\r\nSender: ceo@corp.test",
    /^550 5\.7\.1 /,
  ],
];

for (const [what, from, header, says] of refused) {
  test(`submission: ${what} is refused to one who may not`, { timeout }, async () => {
    const client = await loggedIn("shop", "secret");
    assert.match(await submit(client, from, header), says);
    client.socket.destroy();
  });
}

test("submission: who may send as everybody may also report", { timeout }, async () => {
  const client = await loggedIn("admin", "root");
  idIn(await submit(client, "", "From: anyone@anywhere.test"));
  client.socket.destroy();
});

test("submission: logging in at the port for everybody is trust as well, and nothing else there is", {
  timeout,
}, async () => {
  const client = await secured("smtp");
  const { rcpt } = await hand(client, { to: ["u@one.test"] });
  assert.match(rcpt[0] ?? "", /^550 5\.7\.1 relaying denied/);
  client.socket.destroy();
  const known = await loggedIn("shop", "secret", "smtp");
  idIn(await submit(known, "a@shop.test", "From: a@shop.test"));
  known.socket.destroy();
});

test("submission: a trusted network is no login, and a wrong one is told to nobody by name", {
  timeout,
}, async () => {
  const client = await greeted(relay.port("submission"));
  assert.match(await say(client, "MAIL FROM:<a@shop.test>"), /^530 5\.7\.0 /);
  assert.match(await say(client, "AUTH PLAIN AHNob3AAc2VjcmV0"), /^538 5\.7\.11 /);
  client.socket.destroy();
  const wrong = await secured();
  const plain = Buffer.from("\0my-password\0shop").toString("base64");
  assert.match(await say(wrong, `AUTH PLAIN ${plain}`), /^535 5\.7\.8 /);
  wrong.socket.destroy();
  await untilLogged(relay, "invalid", { mechanism: "PLAIN" });
  assert.doesNotMatch(JSON.stringify(relay.log()), /my-password|secret/);
});

test("submission: a login ends with its user at the next MAIL, and not before what he has begun", {
  timeout,
}, async () => {
  const begun = await loggedIn("leaver", "soon");
  const idle = await loggedIn("leaver", "soon");
  assert.match(await say(begun, "MAIL FROM:<a@shop.test>"), /^250 /);
  const text = readFileSync(file("users.yaml"), "utf8");
  writeFileSync(file("users.yaml"), text.replace("name: leaver", "name: other"));
  let reply = "";
  while (!reply.startsWith("421 ")) {
    reply = await say(idle, "MAIL FROM:<a@shop.test>");
    if (reply.startsWith("250 ")) await say(idle, "RSET");
    await wait(100);
  }
  assert.equal(reply, "421 4.7.0 your login is over, as this user is gone: log in again");
  assert.equal(await idle.end(), "");
  await untilLogged(relay, "refused", { reason: "login", code: 421 });
  for (const line of ["RCPT TO:<u@one.test>", "DATA"])
    assert.match(await say(begun, line), /^[23]/);
  idIn(await say(begun, "From: a@shop.test\r\nSubject: begun\r\n\r\n."));
  assert.match(await say(begun, "MAIL FROM:<a@shop.test>"), /^421 4\.7\.0 /);
  assert.equal(await begun.end(), "");
});

test("submission: mailroute send logs in, and says what is wrong with how it is asked to", {
  timeout,
}, () => {
  writeFileSync(file("password"), "secret\n");
  const to = ["send", "--to", "u@one.test", "--port", String(relay.port("submission"))];
  const login = ["--user", "shop", "--password-file", file("password")];
  const sent = mailroute([...to, ...login, "--from", "a@shop.test"]);
  assert.equal(sent.code, 0, sent.err);
  assert.match(sent.out[0] ?? "", /^250 2\.0\.0 queued/);
  const foreign = mailroute([...to, ...login, "--from", "ceo@corp.test"]);
  assert.equal(foreign.code, 1);
  assert.match(foreign.err, /shop may not send as <ceo@corp\.test>/);
  assert.match(mailroute([...to, "--user", "shop"]).err, /--user NAME and --password-file FILE/);
  assert.match(mailroute([...to, "--token-file", file("none")]).err, /--token-file: ENOENT/);
});
