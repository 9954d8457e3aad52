/**
 * The front door on a real node: tokens in place of passwords, clients' addresses through NodePorts and HAProxy, source
 * NAT, and a certificate that is swapped beneath open sessions. The swap begins first and is looked at last, as the
 * kubelet takes its time.
 */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { after, before, describe, test } from "node:test";
import type { TestClient } from "../../relay/listener/dialog.testkit.ts";
import { greet, hand, idIn, say } from "../acceptance/client.ts";
import { isPostmaster, rcptLine, shown, spellings } from "../acceptance/spellings.ts";
import { eventually } from "../ledger/relay-process.ts";
import { ensureDebian } from "../peers/debian.ts";
import { FrontDoor } from "./front-door.ts";
import { forbidden, unused } from "./grants.ts";
import { connectUntilServed, fingerprintOf, OpenSessions } from "./open-sessions.ts";
import { addresses, greetedOverTls, Outside, showToken } from "./outside.ts";
import { site, skip } from "./pods-site.ts";
import type { Release } from "./release.ts";

const { balancer, trusted, stranger } = addresses;
const isForeign = process.env["MAILROUTE_TEST_KUBECONFIG"] !== undefined;
const bounded = { timeout: 180_000 };
/** The kubelet looks at Secrets about once a minute. */
const swapMsMax = 150_000;

let front: FrontDoor;
let outside: Outside;
let sessions: OpenSessions;
/** Of the certificates, and what connections were shown since the second one was put in place. */
let swap: { readonly first: string; readonly second: string; shown: Promise<readonly string[]> };
/** NodePorts of the door. */
let ports: { smtp: number; submissions: number; proxy: number };

/** Lines of a release's relays' log, of one event. */
async function logged(
  release: Release,
  event: string,
): Promise<readonly Record<string, unknown>[]> {
  const lines = (await release.logs("relay")).split("\n").filter((line) => line.startsWith("{"));
  const all = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  return all.filter((each) => each["event"] === event);
}

/** What a release's first relay says of itself, by way of the API server. */
const adminOf = (release: Release): string =>
  `/api/v1/namespaces/${release.namespace}/pods/${release.relay(0)}:9090/proxy`;

/** Of a line about a problem: the self-check's. */
const isAboutListeners = ({ where }: Readonly<Record<string, unknown>>): boolean =>
  String(where).startsWith("listeners.");

/** The answer to a recipient whom strangers may not reach, or to MAIL where that is refused. */
async function answerTo(client: TestClient, to = "a@trusted.test"): Promise<string> {
  try {
    await greet(client);
    const { mail, rcpt } = await hand(client, { to: [to] });
    return rcpt[0] ?? mail;
  } finally {
    client.socket.destroy();
  }
}

describe("front door on a node", { skip: isForeign ? "the node is not ours" : skip }, () => {
  before(async () => {
    const { node, pods } = site();
    if (node.own === undefined) throw new Error("the node is not ours");
    front = new FrontDoor(node, pods);
    const [first, second] = await Promise.all([front.certificate(), front.certificate()]);
    [outside] = await Promise.all([Outside.begin(node.own), front.begin(first)]);
    const { door } = front;
    const [smtp, submissions, proxy] = await Promise.all([
      front.nodePort(door, "door", 25),
      front.nodePort(door, "door", 465),
      front.nodePort(door, "door-proxy", 25),
    ]);
    ports = { smtp, submissions, proxy };
    const dial = (): TestClient => outside.dial({ from: stranger, port: submissions });
    const token = await front.token("shop", "mailroute");
    const letters = { sender: "held@shop.test", domain: "trusted.test" };
    sessions = new OpenSessions({ dial, token, ...letters });
    await sessions.open();
    await front.swapCertificate(second);
    const [was, is] = [first, second].map(
      ({ certificate }) => new X509Certificate(certificate).fingerprint256,
    );
    const shown = connectUntilServed({ dial, fingerprint: is ?? "", msMax: swapMsMax });
    shown.catch(() => {}); // it is awaited last
    swap = { first: was ?? "", second: is ?? "", shown };
  }, bounded);

  after(async () => {
    sessions?.close();
    await front?.end();
  }, bounded);

  test(
    "tokens: a pod sends without a password, as its own domain, and the mail arrives",
    bounded,
    async () => {
      const { pods } = site();
      const letter = { from: "orders@shop.test", author: "Shop <orders@shop.test>" };
      const to = "submissions@trusted.test";
      idIn(await front.submit("shop", { ...letter, port: 465, to }));
      await pods.isAt(to, "one");
      const flags = ["--host", front.door.host, "--port", "587", "--from", letter.from];
      const login = ["--token-file", "/var/run/mail/token", "--to", "submission@trusted.test"];
      assert.match(await front.send("shop", [...flags, ...login]), /^250 2\.0\.0 queued/);
      await pods.isAt("submission@trusted.test", "one");
      const [line] = (await logged(front.door, "accepted")).filter(
        ({ from }) => from === letter.from,
      );
      assert.equal(line?.["user"], "shop/default");
    },
  );

  test(
    "tokens: another namespace's pod may not send as that domain, in envelope or From, and may as its own",
    bounded,
    async () => {
      const letter = { port: 465, to: "rival@trusted.test" };
      const [own, foreign] = ["news@rival.test", "orders@shop.test"];
      const answers = await Promise.all([
        front.submit("rival", { ...letter, from: foreign, author: foreign }),
        front.submit("rival", { ...letter, from: own, author: foreign }),
        front.submit("rival", { ...letter, from: own, author: own }),
      ]);
      assert.deepEqual(answers.slice(0, 2), [
        "550 5.7.1 rival/default may not send as <orders@shop.test>",
        "550 5.7.1 rival/default may not send with From or Sender <orders@shop.test>",
      ]);
      idIn(answers[2] ?? "");
    },
  );

  test("tokens: one that is not made out for mail is no login", bounded, async () => {
    for (const [audience, answer] of [
      [undefined, /^535 5\.7\.8 /],
      ["mailroute", /^235 2\.7\.0 /],
    ] as const) {
      const token = await front.token("shop", audience);
      const client = await greetedOverTls(
        outside.dial({ from: stranger, port: ports.submissions }),
      );
      assert.match(await showToken(client, token), answer);
      client.socket.destroy();
    }
  });

  test(
    "tokens: relays have the right to review them, and ask for nothing else",
    bounded,
    async () => {
      const { own, kubectl } = site().node;
      const { namespace, name } = front.door;
      const user = `system:serviceaccount:${namespace}:${name}-relay`;
      const theirs = (own?.audit() ?? []).filter((each) => each.user.username === user);
      assert.deepEqual(forbidden(theirs), []);
      const role = ["get", "clusterrole", `${namespace}.${name}-relay`, "-o", "json"];
      assert.deepEqual(unused([JSON.parse(await kubectl(role))], theirs), []);
    },
  );

  test(
    "strangers: a pod with neither token nor trusted address is denied relaying, and 530 at submission",
    bounded,
    async () => {
      const letter = { from: "a@shop.test", author: "a@shop.test", to: "a@trusted.test" };
      const answers = await Promise.all(
        [25, 587, 465].map(async (port) => await front.submit("tokenless", { ...letter, port })),
      );
      assert.match(answers[0] ?? "", /^550 5\.7\.1 relaying denied$/);
      for (const answer of answers.slice(1)) assert.match(answer, /^530 5\.7\.0 /);
      // Where anyone may send, it may.
      idIn(await front.submit("tokenless", { ...letter, port: 25, to: "pod@open.test" }));
      await site().pods.isAt("pod@open.test", "two");
    },
  );

  test(
    "addresses: externalTrafficPolicy Local keeps them, and trust is decided by them",
    bounded,
    async () => {
      const dial = (from: string): TestClient => outside.dial({ from, port: ports.smtp });
      assert.equal(await answerTo(dial(trusted)), "250 2.1.5 recipient ok");
      assert.equal(await answerTo(dial(stranger)), "550 5.7.1 relaying denied");
      // Whoever comes by the balancer's address may be anybody.
      assert.equal(await answerTo(dial(balancer)), "550 5.7.1 relaying denied");
    },
  );

  test(
    "addresses: they survive HAProxy by PROXY version 2, and nobody else may say who he is",
    bounded,
    async () => {
      const found = await ensureDebian("haproxy", "haproxy");
      if ("missing" in found) throw new Error(found.missing);
      await outside.balance({ program: found.path, port: ports.proxy });
      assert.equal(await answerTo(outside.dialBalancer(stranger)), "550 5.7.1 relaying denied");
      const client = await greet(outside.dialBalancer(trusted));
      const to = "behind@trusted.test";
      const id = idIn((await hand(client, { to: [to] })).data);
      client.socket.destroy();
      await site().pods.isAt(to, "one");
      const [arrival] = (await site().pods.received("one")).filter(({ recipients }) =>
        recipients.includes(to),
      );
      assert.equal(arrival?.client, trusted);
      const [line] = (await logged(front.door, "accepted")).filter((each) => each["id"] === id);
      assert.deepEqual([line?.["client"], line?.["balancer"]], [trusted, balancer]);

      const forger = outside.dial({ from: stranger, port: ports.proxy });
      forger.send(`PROXY TCP4 ${trusted} 192.0.2.1 40000 25\r\n`);
      assert.equal(await forger.end(), "");
      const isTold = async (): Promise<boolean> =>
        (await logged(front.door, "proxy-refused")).some(
          (each) => each["client"] === stranger && each["reason"] === "stranger",
        );
      await eventually(isTold, { msMax: 10_000, what: "the forger is told of", everyMs: 200 });
      // Nor do HAProxy's health checks look like clients whom nobody can see.
      assert.deepEqual((await logged(front.door, "problem")).filter(isAboutListeners), []);
    },
  );

  test("source NAT: the chart refuses trust by address behind it", bounded, async () => {
    const networks = { trustedNetworks: ["192.0.2.0/26"] };
    await assert.rejects(
      front.nodeport.install(networks),
      /type NodePort with externalTrafficPolicy Cluster shows every client as a node of the cluster, and trustedNetworks would trust them all: set relay\.service\.externalTrafficPolicy to Local/,
    );
    // Where nodes are listed as balancers, whoever reaches a NodePort may bring a PROXY header of his own.
    const service = { type: "NodePort", externalTrafficPolicy: "Cluster" };
    const balancers = ["192.0.2.0/24", "198.51.100.0/24"];
    await assert.rejects(
      front.nodeport.install({
        ...networks,
        "relay.service": { type: "ClusterIP" },
        "relay.proxyProtocol": { enabled: true, balancers, service },
      }),
      /type NodePort with externalTrafficPolicy Cluster shows whoever reaches a node as a balancer.*set relay\.proxyProtocol\.service\.externalTrafficPolicy to Local/,
    );
  });

  test(
    "source NAT: no spelling gets relayed through a NodePort, nothing goes out by MX, and the relay says what is wrong",
    bounded,
    async () => {
      const { pods, node } = site();
      const { nodeport } = front;
      const goneOut = await pods.traffic("mx");
      const port = await front.nodePort(nodeport, "nodeport", 25);
      const battery = spellings.filter((each) => !isPostmaster(each));
      assert.ok(battery.length >= 60);
      const letIn: string[] = [];
      for (const spelling of battery) {
        const client = await greet(outside.dial({ from: stranger, port }));
        const mail = `MAIL FROM:<>${spelling.utf8 ? " SMTPUTF8" : ""}`;
        assert.match(await say(client, mail), /^250 /);
        const reply = await say(client, rcptLine(spelling));
        if (!/^[45]\d\d \d\.\d\.\d+ /.test(reply)) letIn.push(`${shown(spelling)}: ${reply}`);
        client.socket.destroy();
      }
      assert.deepEqual(letIn, []);
      const ask = async (path: string): Promise<string> =>
        await node.kubectl(["get", "--raw", `${adminOf(nodeport)}${path}`]);
      assert.match(await ask("/metrics"), /^mailroute_accepted_total 0$/m);
      assert.equal(await pods.traffic("mx"), goneOut);
      const clients = new Set((await logged(nodeport, "refused")).map((each) => each["client"]));
      assert.equal(clients.size, 1);
      assert.ok(!clients.has(stranger), "who he is cannot be seen");
      const words = new RegExp(
        `like ${[...clients]}: source NAT .*set externalTrafficPolicy: Local`,
      );
      assert.match(await ask("/readyz"), words);
      const problems = await logged(nodeport, "problem");
      assert.match(String(problems.find(isAboutListeners)?.["text"]), words);
      // The same door takes mail that is for anyone, and the exchanger would have seen what had gone out.
      assert.match(await answerTo(outside.dial({ from: stranger, port }), "a@open.test"), /^250 /);
      await pods.send("last@evil.test", `nodeport-trusted.${nodeport.namespace}`);
      await pods.isAt("last@evil.test", "mx");
    },
  );

  test(
    "certificates: a swapped Secret is served to new connections, and no open session is lost",
    bounded,
    async () => {
      const { first, second } = swap;
      const startedMs = Date.now();
      const shown = await swap.shown;
      console.log(
        `front door: ${shown.length} connections until the new certificate was served, ` +
          `the last ${((Date.now() - startedMs) / 1000).toFixed(1)} s of them waited for`,
      );
      const [last, ...before] = shown.toReversed();
      assert.equal(last, second);
      assert.deepEqual(new Set(before), new Set([first]));
      const plain = await greet(outside.dial({ from: stranger, port: ports.smtp }));
      assert.match(await say(plain, "STARTTLS"), /^220 /);
      await plain.startTls();
      assert.equal(fingerprintOf(plain), second);
      plain.socket.destroy();
      assert.deepEqual(new Set(sessions.fingerprints()), new Set([first]));
      for (const { to, answer } of await sessions.finish()) {
        idIn(answer);
        await site().pods.isAt(to, "one");
      }
      assert.equal((await front.door.container(front.door.relay(0))).restartCount, 0);
    },
  );
});
