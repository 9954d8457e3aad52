/** No stranger relays: whoever is not trusted reaches `access: Anyone` routes only, however he writes. */
import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { after, before, describe, test } from "node:test";
import { type CountingDns, countingDns } from "../ledger/dns.ts";
import { hostsRoute, type RelayProcess, relayProcess } from "../ledger/relay-process.ts";
import { dial, greeted, hand, idIn, say, send, sendBody, stranger } from "./client.ts";
import { admin, drained, type Hosts, logged, metric, startHosts, untilLogged } from "./hosts.ts";
import { isPostmaster, rcptLine, type Spelling, shown, spellings } from "./spellings.ts";

describe("who may send", { timeout: 120_000 }, () => {
  let hosts: Hosts;
  let dns: CountingDns;
  let relay: RelayProcess;

  before(async () => {
    hosts = await startHosts(["trusted", "open"]);
    dns = await countingDns();
    relay = relayProcess({
      postmaster: "postmaster@trusted.test",
      trustedNetworks: ["127.0.0.1/32"],
      deniedNetworks: ["127.0.0.66", "127.0.66.0/24"],
      dns: { servers: [dns.address] },
    });
    relay.routes("all.yaml", [
      hostsRoute("trusted", { suffixes: ["trusted.test"] }, hosts.target("trusted")),
      hostsRoute("open", { suffixes: ["open.test"] }, hosts.target("open"), { access: "Anyone" }),
      hostsRoute("locked", { domains: ["locked.test"] }, [{ host: "127.0.0.1", port: 1 }], {
        tls: { mode: "Verified" },
        auth: { secretRef: { name: "missing" } },
      }),
      hostsRoute("closed", { domains: ["closed.test"] }, [{ host: "127.0.0.1", port: 1 }], {
        access: "Anyone",
        tls: { mode: "Verified" },
        auth: { secretRef: { name: "missing" } },
      }),
    ]);
    await relay.start();
  });
  after(async () => {
    await relay.close();
    await hosts.close();
    dns.close();
  });

  /** The answer to one recipient; where it is taken, the message goes on its way under `id`. */
  const offer = async (
    spelling: Spelling,
    from: Parameters<typeof greeted>[1],
  ): Promise<{ reply: string; id?: string }> => {
    const client = await greeted(relay.port(), from);
    const mail = await say(client, `MAIL FROM:<>${spelling.utf8 ? " SMTPUTF8" : ""}`);
    assert.match(mail, /^250 /);
    const reply = await say(client, rcptLine(spelling));
    const taken = reply.startsWith("250") ? await sendBody(client, {}) : undefined;
    client.socket.destroy();
    return taken === undefined ? { reply } : { reply, id: idIn(taken) };
  };

  test(`stranger: is refused in each of ${spellings.length} spellings, nothing arrives and DNS is not asked`, async () => {
    assert.ok(spellings.length >= 60);
    const let_in: string[] = [];
    for (const spelling of spellings.filter((each) => !isPostmaster(each))) {
      const { reply } = await offer(spelling, stranger);
      if (!/^[45]\d\d \d\.\d\.\d+ /.test(reply))
        let_in.push(`${shown(spelling)}: ${reply || "no answer"}`);
    }
    assert.deepEqual(let_in, []);
    assert.equal(await metric(relay, "mailroute_accepted_total"), 0);
    assert.deepEqual(hosts.arrivals, []);
    assert.deepEqual(dns.questions(), []);
  });

  test("stranger: what is an address is 550, 5.7.1 for domains and 5.1.2 for literals", async () => {
    const addresses = spellings.filter(({ leaves }) => leaves !== "refused");
    for (const spelling of addresses.filter((each) => !isPostmaster(each))) {
      const { reply } = await offer(spelling, stranger);
      assert.equal(reply, "550 5.7.1 relaying denied", shown(spelling));
    }
    const { reply } = await offer({ path: "a@[192.0.2.1]", leaves: "refused" }, stranger);
    assert.equal(reply, "550 5.1.2 no route names this address literal");
  });

  test("stranger: <postmaster> without a domain is taken, and goes to the named mailbox only", async () => {
    for (const { path = "" } of spellings.filter(isPostmaster)) {
      const subject = `to ${path}`;
      const answers = await send(
        relay.port(),
        { from: "a@away.test", to: [path], subject },
        stranger,
      );
      assert.deepEqual(answers.rcpt, ["250 2.1.5 recipient ok"], path);
      await drained(relay);
      assert.deepEqual(
        hosts.subject(subject).map(({ host, recipients }) => [host, ...recipients]),
        [["trusted", "postmaster@trusted.test"]],
      );
    }
  });

  test("stranger: a sender of a trusted domain, EHLO as ourselves and earlier good recipients give no trust", async () => {
    const client = dial(relay.port(), stranger);
    await client.reply();
    await say(client, "EHLO relay.test");
    const answers = await hand(client, {
      from: "postmaster@trusted.test",
      to: ["a@open.test", "a@evil.test", "b@trusted.test"],
      subject: "mixed",
    });
    assert.deepEqual(
      answers.rcpt.map((reply) => reply.slice(0, 9)),
      ["250 2.1.5", "550 5.7.1", "550 5.7.1"],
    );
    client.socket.destroy();
    await drained(relay);
    assert.deepEqual(
      hosts.subject("mixed").map(({ host, recipients }) => [host, ...recipients]),
      [["open", "a@open.test"]],
    );
  });

  test("stranger: reaches Anyone routes, where a local part stays what it is", async () => {
    const to = [
      "a@open.test",
      "A@Sub.OPEN.test.",
      "a%evil.test@open.test",
      "evil.test!a@open.test",
      '"a@evil.test"@open.test',
      "@evil.test:b@open.test",
    ];
    const answers = await send(
      relay.port(),
      { from: "someone@away.test", to, subject: "open" },
      stranger,
    );
    assert.deepEqual(new Set(answers.rcpt), new Set(["250 2.1.5 recipient ok"]));
    await drained(relay);
    const [arrival, ...more] = hosts.subject("open");
    assert.deepEqual(more, []);
    assert.equal(arrival?.host, "open");
    assert.deepEqual(arrival?.recipients, [
      "a@open.test",
      "A@sub.open.test",
      "a%evil.test@open.test",
      "evil.test!a@open.test",
      '"a@evil.test"@open.test',
      "b@open.test",
    ]);
  });

  test("trusted: the same spellings are refused or go exactly where they say", async () => {
    const found: string[] = [];
    for (const spelling of spellings) {
      const { reply, id } = await offer(spelling, {});
      if (id === undefined) {
        assert.match(reply, /^[45]\d\d \d\.\d\.\d+ /, shown(spelling));
        found.push(`${shown(spelling)} refused`);
        continue;
      }
      await drained(relay);
      const [arrival] = hosts.arrivals.filter(({ text }) => text.includes(` id ${id}`));
      const [bounced] = logged(relay, "bounced", { id, key: "outbound" });
      const name = String(bounced?.["to"]).replace(/^.*@/, "");
      found.push(`${shown(spelling)} ${arrival?.host ?? name}`);
    }
    assert.deepEqual(
      found,
      spellings.map((spelling) => `${shown(spelling)} ${spelling.leaves}`),
    );
    const names = spellings.map(({ leaves }) => leaves).filter((leaves) => leaves.includes("test"));
    assert.deepEqual(new Set(dns.questions()), new Set(names));
  });

  test("stranger: a message behind DATA before 354 is refused; a trusted script's is taken as it is", async () => {
    const hasty = (subject: string): string =>
      `MAIL FROM:<a@away.test>\r\nRCPT TO:<a@open.test>\r\nDATA\r\nSubject: ${subject}\r\n\r\nx\r\n.\r\n`;
    const foreign = await greeted(relay.port(), stranger);
    foreign.send(hasty("hasty stranger"));
    await foreign.reply();
    await foreign.reply();
    assert.match(await foreign.reply(), /^554 5\.5\.0 /);
    assert.equal(await foreign.end(), "");
    const own = await greeted(relay.port());
    own.send(hasty("hasty script"));
    for (const code of ["250 ", "250 ", "354 ", "250 2.0.0"]) {
      assert.ok((await own.reply()).startsWith(code), code);
    }
    own.socket.destroy();
    await drained(relay);
    assert.equal(hosts.subject("hasty script").length, 1);
    assert.equal(hosts.subject("hasty stranger").length, 0);
    assert.equal(await metric(relay, 'mailroute_refused_total{reason="pipelining"}'), 1);
  });

  test("stranger: a message by BDAT arrives, its last line ended, its dots as they were", async () => {
    const client = await greeted(relay.port(), stranger);
    await say(client, "MAIL FROM:<a@away.test>");
    await say(client, "RCPT TO:<a@open.test>");
    const body = "Subject: chunked\r\n\r\n.\r\n..x\r\nlast";
    client.send(`BDAT 5\r\n${body.slice(0, 5)}BDAT ${body.length - 5} LAST\r\n${body.slice(5)}`);
    assert.equal(await client.reply(), "250 2.0.0 5 octets received");
    idIn(await client.reply());
    client.socket.destroy();
    await drained(relay);
    const [arrival] = hosts.subject("chunked");
    // The sink leaves the dots in that DATA puts in front of others.
    const wire = `${body.replaceAll("\r\n.", "\r\n..")}\r\n`;
    assert.equal(arrival?.text.slice(-wire.length), wire);
  });

  test("stranger: a message that begins with a space is refused; a trusted one's goes, and continues no header of ours", async () => {
    const offerFolded = async (from: Parameters<typeof greeted>[1]): Promise<string> => {
      const client = await greeted(relay.port(), from);
      for (const line of ["MAIL FROM:<a@x.test>", "RCPT TO:<folded@open.test>", "DATA"])
        assert.match(await say(client, line), /^[23]/);
      const reply = await say(client, " (by nobody)\r\nSubject: folded\r\n\r\n.");
      client.socket.destroy();
      return reply;
    };
    assert.match(await offerFolded(stranger), /^550 5\.6\.0 the message begins with a space/);
    idIn(await offerFolded({}));
    await drained(relay);
    const arrived = hosts.arrivals.filter(({ recipients }) =>
      recipients.includes("folded@open.test"),
    );
    assert.equal(arrived.length, 1);
    assert.match(arrived[0]?.text ?? "", /\+0000\r\n\r\n \(by nobody\)\r\nSubject: folded\r\n/);
    assert.equal(logged(relay, "normalised", { fault: "leading space" }).length, 1);
  });

  test("unavailable route: trusted mail is taken and waits, strangers get 451", async () => {
    const answers = await send(relay.port(), { from: "", to: ["a@locked.test", "a@closed.test"] });
    const id = idIn(answers.data);
    for (const to of ["a@locked.test", "a@closed.test"]) {
      assert.equal((await untilLogged(relay, "deferred", { id, to }))["status"], "4.3.5");
    }
    const refused = await send(relay.port(), { to: ["a@closed.test", "a@locked.test"] }, stranger);
    assert.deepEqual(
      refused.rcpt.map((reply) => reply.slice(0, 9)),
      ["451 4.3.5", "550 5.7.1"],
    );
    assert.match((await admin(relay, "/readyz")).body, /Secret mail\/missing does not exist/);
  });

  test("denied networks: are answered 554 at connect and nothing else", async () => {
    for (const localAddress of ["127.0.0.66", "127.0.66.1", "127.0.66.255"]) {
      const client = dial(relay.port(), { localAddress });
      assert.match(await client.reply(), /^554[ -]5\.7\.1 |^554 .*not served/, localAddress);
      assert.doesNotMatch(await say(client, "EHLO client.test"), /^250/);
      client.socket.destroy();
    }
    for (const localAddress of ["127.0.0.65", "127.0.67.0"]) {
      const client = await greeted(relay.port(), { localAddress });
      client.socket.destroy();
    }
  });
});

const hasIpv6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === "::1"),
);
const noIpv6 = hasIpv6 ? false : "this machine has no IPv6";

test("mapped addresses: an IPv4 client of an IPv6 listener is who he is by IPv4", {
  timeout: 30_000,
  skip: noIpv6,
}, async (context) => {
  const hosts = await startHosts(["trusted"]);
  const relay = relayProcess({
    listeners: [{ name: "smtp", host: "::", port: 0 }],
    trustedNetworks: ["127.0.0.1/32", "::ffff:127.0.7.0/120"],
    deniedNetworks: ["127.0.0.66/32", "::ffff:127.0.0.67"],
  });
  context.after(async () => {
    await relay.close();
    await hosts.close();
  });
  relay.routes("all.yaml", [
    hostsRoute("trusted", { suffixes: ["trusted.test"] }, hosts.target("trusted")),
  ]);
  await relay.start();
  const answerTo = async (from: { localAddress?: string; host?: string }): Promise<string> => {
    const client = dial(relay.port(), from);
    const banner = await client.reply();
    if (banner.startsWith("220")) await say(client, "EHLO client.test");
    const answers = banner.startsWith("220")
      ? await hand(client, { to: ["a@trusted.test"] })
      : undefined;
    client.socket.destroy();
    return (answers?.rcpt[0] ?? banner).slice(0, 3);
  };
  assert.equal(await answerTo({ localAddress: "127.0.0.1" }), "250");
  assert.equal(await answerTo({ localAddress: "127.0.0.5" }), "550");
  assert.equal(await answerTo({ localAddress: "127.0.7.9" }), "250");
  assert.equal(await answerTo({ localAddress: "127.0.8.9" }), "550");
  assert.equal(await answerTo({ localAddress: "127.0.0.66" }), "554");
  assert.equal(await answerTo({ localAddress: "127.0.0.67" }), "554");
  assert.equal(await answerTo({ host: "::1" }), "550");
  assert.deepEqual(
    logged(relay, "accepted").map(({ client }) => client),
    ["127.0.0.1", "127.0.7.9"],
  );
});
