/** TLS on both sides: the listener's certificate and its swap, and logins at next hops by lent Secrets. */
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type TLSSocket, connect as tlsConnect } from "node:tls";
import { type Misbehaving, misbehaving } from "../../relay/delivery/misbehaving.testkit.ts";
import type { MisbehavingOptions } from "../../relay/delivery/misbehaving-options.testkit.ts";
import { TestClient } from "../../relay/listener/dialog.testkit.ts";
import {
  eventually,
  hostsRoute,
  type RelayProcess,
  relayProcess,
} from "../ledger/relay-process.ts";
import { greeted, hand, idIn, say, send } from "./client.ts";
import { admin, drained, logged, startHosts, untilLogged } from "./hosts.ts";

const bounded = { timeout: 60_000 };
const listenerFixtures = join(import.meta.dirname, "../../relay/listener/fixtures");
const hopFixtures = join(import.meta.dirname, "../../relay/delivery/fixtures");
const hopFile = (name: string): string => readFileSync(join(hopFixtures, name), "utf8");

function subjectOf(socket: TestClient["socket"]): string {
  return String((socket as TLSSocket).getPeerCertificate().subject.CN);
}

async function secured(port: number | undefined): Promise<TestClient> {
  const client = await greeted(port);
  assert.match(await say(client, "STARTTLS"), /^220 /);
  await client.startTls();
  return client;
}

test(
  "STARTTLS: is offered with the configured certificate, also from the first byte, and the files may be swapped while running",
  bounded,
  async (context) => {
    const directory = mkdtempSync(join(tmpdir(), "mailroute-tls-"));
    const use = (name: "mx" | "swapped", part: "cert" | "key"): void =>
      copyFileSync(join(listenerFixtures, `${name}.${part}.pem`), join(directory, `${part}.pem`));
    use("mx", "cert");
    use("mx", "key");
    const usersFile = join(directory, "users.yaml");
    writeFileSync(usersFile, "users: []\n");
    const hosts = await startHosts(["one"]);
    const relay = relayProcess({
      tls: {
        certificates: [
          { certificateFile: join(directory, "cert.pem"), keyFile: join(directory, "key.pem") },
        ],
      },
      authentication: { usersFile },
      listeners: [
        { name: "smtp", host: "127.0.0.1", port: 0 },
        { name: "submissions", kind: "submissions", host: "127.0.0.1", port: 0 },
      ],
    });
    context.after(async () => {
      await relay.close();
      await hosts.close();
      rmSync(directory, { recursive: true });
    });
    relay.routes("one.yaml", [hostsRoute("one", { suffixes: ["one.test"] }, hosts.target("one"))]);
    await relay.start();

    const kept = await secured(relay.port());
    assert.equal(subjectOf(kept.socket), "mx.test");
    assert.match(await say(kept, "MAIL FROM:<>"), /^503 /, "what was said before TLS is forgotten");
    assert.doesNotMatch(await say(kept, "EHLO client.test"), /STARTTLS/);
    idIn((await hand(kept, { to: ["a@one.test"], subject: "by STARTTLS" })).data);

    const implicit = tlsConnect({
      port: relay.port("submissions") ?? 0,
      host: "127.0.0.1",
      rejectUnauthorized: false,
    });
    const submitter = new TestClient(0, implicit);
    assert.match(await submitter.reply(), /^220 /);
    assert.equal(subjectOf(implicit), "mx.test");
    await say(submitter, "EHLO client.test");
    assert.match(
      await say(submitter, "MAIL FROM:<>"),
      /^530 5\.7\.0 /,
      "for the authenticated only",
    );
    implicit.destroy();

    use("swapped", "cert");
    const where = "tls.certificates.0.keyFile";
    await untilLogged(relay, "problem", { where });
    assert.match((await admin(relay, "/readyz")).body, /is not the key of .*stays in force/);
    assert.match((await admin(relay, "/metrics")).body, /^mailroute_problems 1$/m);
    const between = await secured(relay.port());
    assert.equal(subjectOf(between.socket), "mx.test", "half a pair is not used");
    between.socket.destroy();
    use("swapped", "key");
    await eventually(() => logged(relay, "mended", { where }).length > 0, {
      msMax: 15_000,
      what: "the new pair is used",
    });
    const fresh = await secured(relay.port());
    assert.equal(subjectOf(fresh.socket), "swapped.test");
    fresh.socket.destroy();
    idIn((await hand(kept, { to: ["a@one.test"], subject: "after the swap" })).data);
    kept.socket.destroy();
    await drained(relay);
    for (const subject of ["by STARTTLS", "after the swap"]) {
      assert.match(hosts.subject(subject)[0]?.text ?? "", /\r\n\twith ESMTPS id /, subject);
    }
  },
);

test(
  "STARTTLS: without a certificate it is neither offered nor taken, and mail goes on",
  bounded,
  async (context) => {
    const relay = relayProcess();
    context.after(() => relay.close());
    relay.routes("hole.yaml", [
      hostsRoute("hole", { suffixes: ["hole.test"] }, [], { target: { discard: {} } }),
    ]);
    await relay.start();
    const client = await greeted(relay.port());
    assert.doesNotMatch(await say(client, "EHLO again.test"), /STARTTLS/);
    assert.match(await say(client, "STARTTLS"), /^502 /);
    idIn((await hand(client, { to: ["a@hole.test"] })).data);
    client.socket.destroy();
  },
);

type Lending = {
  /** Of the Secret with the login; "" for no annotation. */
  readonly login?: string;
  readonly ca?: string;
  readonly password?: string;
  readonly tls?: object;
  readonly auth?: false;
};

/** A route to the host with its Secrets, as a file. */
function routed(
  hop: Misbehaving,
  { login, ca, password = "pass word", tls, auth }: Lending = {},
): readonly object[] {
  const here = `127.0.0.1:${hop.port}`;
  const secret = (name: string, hosts: string, stringData: object): object => ({
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      name,
      namespace: "mail",
      ...(hosts !== "" && { annotations: { "mailroute.dev/hosts": hosts } }),
    },
    stringData,
  });
  return [
    hostsRoute("hop", { suffixes: ["hop.test"] }, [{ host: "127.0.0.1", port: hop.port }], {
      tls: tls ?? { mode: "Verified", caSecretRef: { name: "ca" } },
      ...(auth !== false && { auth: { secretRef: { name: "login" } } }),
      retry: { initial: "1s", max: "1s" },
    }),
    secret("ca", ca ?? here, { "ca.crt": hopFile("ca.pem") }),
    secret("login", login ?? here, { username: "user", password }),
  ];
}

const good = { cert: hopFile("hop.pem"), key: hopFile("hop.key") };

async function site(
  context: TestContext,
  options: MisbehavingOptions,
): Promise<{ hop: Misbehaving; relay: RelayProcess }> {
  const hop = await misbehaving(options);
  const relay = relayProcess();
  context.after(async () => {
    await relay.close();
    await hop.close();
  });
  return { hop, relay };
}

/** Of AUTH and of every message: nothing of them was said in the clear. */
const said = (hop: Misbehaving, verb: string): readonly string[] =>
  hop.commands.filter((line) => line.includes(` ${verb}`));

for (const mode of ["Verified", "Required"]) {
  test(
    `login: with ${mode} TLS a lent Secret is shown to its host, and the mail arrives`,
    bounded,
    async (context) => {
      const { hop, relay } = await site(context, { tls: good, logins: ["user:pass word"] });
      relay.routes("hop.yaml", routed(hop, { tls: { mode, caSecretRef: { name: "ca" } } }));
      await relay.start();
      await send(relay.port(), { to: ["a@hop.test"] });
      await drained(relay);
      assert.deepEqual(
        hop.messages.map(({ secure, login, recipients }) => [secure, login, ...recipients]),
        [[true, "user:pass word", "a@hop.test"]],
      );
      assert.doesNotMatch(JSON.stringify(relay.log()), /pass word/);
    },
  );
}

test(
  "login: a Secret that is not lent is never shown: the mail waits, /readyz has the command, and lending it sends the mail",
  bounded,
  async (context) => {
    const { hop, relay } = await site(context, { tls: good, logins: ["user:pass word"] });
    const here = `127.0.0.1:${hop.port}`;
    for (const [index, login] of [
      "",
      "127.0.0.1:25",
      `127.0.0.2:${hop.port}`,
      "inbound",
    ].entries()) {
      relay.routes("hop.yaml", routed(hop, { login }));
      if (index === 0) await relay.start();
      const id = idIn((await send(relay.port(), { to: [`u${index}@hop.test`] })).data);
      assert.equal((await untilLogged(relay, "deferred", { id }))["status"], "4.3.5");
      const { body } = await admin(relay, "/readyz");
      assert.match(body, /Secret mail\/login is not lent to/);
      assert.ok(
        body.includes("kubectl annotate secret login --namespace mail") && body.includes(here),
        body,
      );
    }
    assert.equal(hop.sessions(), 0, "nobody was even connected to");
    relay.routes("hop.yaml", routed(hop));
    await drained(relay, 20_000);
    assert.deepEqual(hop.messages.flatMap(({ recipients }) => recipients).sort(), [
      "u0@hop.test",
      "u1@hop.test",
      "u2@hop.test",
      "u3@hop.test",
    ]);
  },
);

test(
  "login: a Secret taken back or deleted stops the next message, and a lent CA counts the same",
  bounded,
  async (context) => {
    const { hop, relay } = await site(context, { tls: good, logins: ["user:pass word"] });
    relay.routes("hop.yaml", routed(hop));
    await relay.start();
    await send(relay.port(), { to: ["first@hop.test"] });
    await drained(relay);
    const changes: readonly (readonly [what: string, documents: readonly object[]])[] = [
      ["login taken back", routed(hop, { login: "" })],
      ["CA taken back", routed(hop, { ca: "elsewhere.test:25" })],
      ["Secret deleted", routed(hop).slice(0, 2)],
    ];
    for (const [what, documents] of changes) {
      const before = logged(relay, "table").length;
      relay.routes("hop.yaml", documents);
      await eventually(() => logged(relay, "table").length > before, { msMax: 10_000, what });
      const id = idIn(
        (await send(relay.port(), { to: [`${what.replaceAll(" ", "-")}@hop.test`] })).data,
      );
      assert.equal((await untilLogged(relay, "deferred", { id }))["status"], "4.3.5", what);
    }
    assert.equal(hop.messages.length, 1);
  },
);

test(
  "login: a wrong password is our fault, not the sender's: the mail waits until the Secret is right",
  bounded,
  async (context) => {
    const { hop, relay } = await site(context, { tls: good, logins: ["user:right"] });
    relay.routes("hop.yaml", routed(hop, { password: "wrong" }));
    await relay.start();
    const id = idIn((await send(relay.port(), { from: "me@hop.test", to: ["a@hop.test"] })).data);
    await untilLogged(relay, "deferred", { id, cause: "auth" });
    assert.deepEqual(logged(relay, "bounced"), []);
    relay.routes("hop.yaml", routed(hop, { password: "right" }));
    await drained(relay, 20_000);
    assert.deepEqual(
      hop.messages.map(({ login, recipients }) => [login, ...recipients]),
      [["user:right", "a@hop.test"]],
    );
  },
);

const untrusted: readonly (readonly [
  what: string,
  options: MisbehavingOptions,
  lending: Lending,
])[] = [
  [
    "whose certificate another CA signed",
    { tls: good, logins: ["user:pass word"] },
    { tls: { mode: "Verified" } },
  ],
  [
    "whose certificate is for another name",
    { tls: good, logins: ["user:pass word"] },
    { tls: { mode: "Verified", serverName: "other.test", caSecretRef: { name: "ca" } } },
  ],
  ["that offers no STARTTLS", { logins: ["user:pass word"] }, {}],
  ["that offers no STARTTLS, without a login", {}, { auth: false, tls: { mode: "Required" } }],
  [
    "that offers no STARTTLS, without a login, Verified",
    {},
    { auth: false, tls: { mode: "Verified" } },
  ],
  [
    "that wants another client certificate than ours",
    { tls: { ...good, clientCa: hopFile("ca.pem") }, logins: ["user:pass word"] },
    {},
  ],
  ["that refuses STARTTLS", { tls: good, startTls: "temp-454", logins: ["user:pass word"] }, {}],
];
for (const [what, options, lending] of untrusted) {
  test(
    `TLS: a host ${what} is shown neither password nor mail, and nothing bounces`,
    bounded,
    async (context) => {
      const { hop, relay } = await site(context, options);
      relay.routes("hop.yaml", routed(hop, lending));
      await relay.start();
      const id = idIn((await send(relay.port(), { from: "me@hop.test", to: ["a@hop.test"] })).data);
      const tries = (): boolean => logged(relay, "deferred", { id }).length >= 2;
      await eventually(tries, { msMax: 20_000, what: "tried twice" });
      assert.ok(hop.sessions() >= 1, "it was connected to");
      assert.deepEqual([said(hop, "AUTH"), said(hop, "MAIL"), hop.messages], [[], [], []]);
      assert.deepEqual(logged(relay, "bounced"), []);
    },
  );
}

const clear: readonly (readonly [what: string, options: MisbehavingOptions, secure: boolean])[] = [
  ["encrypts where it can, whatever the certificate", { tls: good }, true],
  ["goes in the clear where there is no STARTTLS", {}, false],
  ["goes in the clear where STARTTLS is refused", { tls: good, startTls: "temp-454" }, false],
];
for (const [what, options, secure] of clear) {
  test(`TLS: Opportunistic ${what}`, bounded, async (context) => {
    const { hop, relay } = await site(context, options);
    relay.routes("hop.yaml", routed(hop, { auth: false, tls: { mode: "Opportunistic" } }));
    await relay.start();
    await send(relay.port(), { to: ["a@hop.test"] });
    await drained(relay, 20_000);
    assert.deepEqual(
      hop.messages.map((message) => message.secure),
      [secure],
    );
  });
}
