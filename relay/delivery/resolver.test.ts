import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { test } from "node:test";
import { deliveryFor, jobTo, never, routeTo } from "./delivery.testkit.ts";
import { misbehaving } from "./misbehaving.testkit.ts";
import { createResolver } from "./resolver.ts";

/** "NAME TYPE": data as [ttl, bytes]; or an rcode; absent: no data. */
type Data = readonly (readonly [number, Buffer])[] | "nxdomain" | "servfail" | "silent";
type Zone = ReadonlyMap<string, Data>;
const types = new Map([
  [1, "A"],
  [28, "AAAA"],
  [15, "MX"],
]);

type Responder = { readonly server: string; readonly asked: readonly string[]; close(): void };

async function respond(zone: Zone): Promise<Responder> {
  const asked: string[] = [];
  const socket: Socket = createSocket("udp4");
  socket.on("message", (query, from) => {
    const { name, type, end } = question(query);
    const key = `${name} ${types.get(type)}`;
    asked.push(key);
    const found = zone.get(key) ?? zone.get(name) ?? [];
    if (found === "silent") return;
    const answers = typeof found === "string" ? [] : found;
    const rcode = found === "nxdomain" ? 3 : found === "servfail" ? 2 : 0;
    const head = Buffer.from(query.subarray(0, 12));
    head.writeUInt16BE(0x8180 | rcode, 2);
    head.writeUInt16BE(answers.length, 6);
    head.writeUInt32BE(0, 8);
    const rows = answers.map(([ttl, data]) => {
      const row = Buffer.alloc(12);
      row.writeUInt16BE(0xc00c, 0);
      row.writeUInt16BE(type, 2);
      row.writeUInt16BE(1, 4);
      row.writeUInt32BE(ttl, 6);
      row.writeUInt16BE(data.length, 10);
      return Buffer.concat([row, data]);
    });
    socket.send(Buffer.concat([head, query.subarray(12, end), ...rows]), from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  return { server: `127.0.0.1:${socket.address().port}`, asked, close: () => socket.close() };
}

function question(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.subarray(at + 1, at + 1 + length).toString("latin1"));
    at += 1 + length;
  }
  return { name: labels.join(".").toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 };
}

const a = (address: string): Buffer => Buffer.from(address.split(".").map(Number));
const encoded = (name: string): Buffer =>
  Buffer.concat([
    ...name
      .split(".")
      .filter(Boolean)
      .map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`)),
    Buffer.alloc(1),
  ]);
const mx = (preference: number, name: string): Buffer =>
  Buffer.concat([Buffer.from([0, preference]), encoded(name)]);
const v6 = Buffer.from("20010db8000000000000000000000001", "hex");

const zone: Zone = new Map<string, Data>([
  [
    "both.test A",
    [
      [300, a("192.0.2.1")],
      [300, a("192.0.2.2")],
    ],
  ],
  ["both.test AAAA", [[300, v6]]],
  ["short.test A", [[2, a("192.0.2.3")]]],
  ["gone.test", "nxdomain"],
  ["ill.test", "servfail"],
  ["mute.test", "silent"],
  ["half.test A", [[300, a("192.0.2.4")]]],
  ["half.test AAAA", "servfail"],
  ["mx.mail.svc", "nxdomain"],
  ["mx.mail.svc.cluster.local A", [[30, a("10.0.0.7")]]],
  [
    "to.test MX",
    [
      [3600, mx(10, "mx1.to.test")],
      [3600, mx(20, "mx2.to.test")],
    ],
  ],
  ["null.test MX", [[3600, mx(0, "")]]],
  ["local.test MX", [[3600, mx(0, "loop.test")]]],
  ["loop.test A", [[300, a("127.0.0.1")]]],
]);

test("resolver: addresses of both families, IPv4 first, and what there is no answer to", async () => {
  const dns = await respond(zone);
  const resolver = createResolver({ servers: [dns.server], timeoutMs: 150, tries: 1 });
  const both = await resolver.addresses("both.test");
  assert.equal(both.kind, "addresses");
  assert.deepEqual(both.kind === "addresses" && both.addresses.toSorted(), [
    "192.0.2.1",
    "192.0.2.2",
    "2001:db8::1",
  ]);
  assert.equal(both.kind === "addresses" && both.addresses[2], "2001:db8::1");
  assert.deepEqual(await resolver.addresses("half.test"), {
    kind: "addresses",
    addresses: ["192.0.2.4"],
  });
  assert.deepEqual(await resolver.addresses("gone.test"), { kind: "nxdomain" });
  assert.deepEqual(await resolver.addresses("empty.test"), { kind: "none" });
  assert.equal((await resolver.addresses("ill.test")).kind, "unanswered");
  assert.equal((await resolver.addresses("mute.test")).kind, "unanswered");
  const before = dns.asked.length;
  assert.deepEqual(await resolver.addresses("192.0.2.9"), {
    kind: "addresses",
    addresses: ["192.0.2.9"],
  });
  assert.deepEqual(await resolver.addresses("localhost"), {
    kind: "addresses",
    addresses: ["127.0.0.1", "::1"],
  });
  assert.equal(dns.asked.length, before);
  resolver.close();
  dns.close();
});

test("resolver: MX records, none, null MX and no such domain", async () => {
  const dns = await respond(zone);
  const resolver = createResolver({ servers: [dns.server], timeoutMs: 150, tries: 1 });
  const records = [
    { exchange: "mx1.to.test", preference: 10 },
    { exchange: "mx2.to.test", preference: 20 },
  ];
  assert.deepEqual(await resolver.mx("to.test"), { kind: "records", records });
  assert.deepEqual(await resolver.mx("null.test"), {
    kind: "records",
    records: [{ exchange: "", preference: 0 }],
  });
  assert.deepEqual(await resolver.mx("both.test"), { kind: "none" });
  assert.deepEqual(await resolver.mx("gone.test"), { kind: "nxdomain" });
  assert.equal((await resolver.mx("ill.test")).kind, "unanswered");
  assert.equal((await resolver.mx("mute.test")).kind, "unanswered");
  resolver.close();
  dns.close();
});

test("resolver: answers are kept for their TTL, MX for a minute, refusals for 15 seconds", async () => {
  const dns = await respond(zone);
  let now = 0;
  const resolver = createResolver({ servers: [dns.server], now: () => now, cacheEntriesMax: 3 });
  const queries = async (ask: () => Promise<unknown>, atMs: number): Promise<number> => {
    now = atMs;
    const before = dns.asked.length;
    await Promise.all([ask(), ask(), ask()]);
    return dns.asked.length - before;
  };
  const short = () => resolver.addresses("short.test");
  assert.deepEqual(
    [await queries(short, 0), await queries(short, 1900), await queries(short, 2001)],
    [2, 0, 2],
  );
  const gone = () => resolver.addresses("gone.test");
  assert.deepEqual(
    [await queries(gone, 0), await queries(gone, 14_900), await queries(gone, 15_001)],
    [2, 0, 2],
  );
  const exchangers = () => resolver.mx("to.test");
  assert.deepEqual(
    [
      await queries(exchangers, 0),
      await queries(exchangers, 59_900),
      await queries(exchangers, 60_001),
    ],
    [1, 0, 1],
  );
  for (const name of ["x1.test", "x2.test", "x3.test"]) await resolver.addresses(name);
  assert.equal(await queries(short, 0), 2);
  resolver.close();
  dns.close();
});

test("resolver: a configured name is looked for under the search domains, one from DNS is not", async () => {
  const dns = await respond(zone);
  const resolver = createResolver({
    servers: [dns.server],
    searchDomains: ["svc.cluster.local", "cluster.local"],
  });
  assert.deepEqual(await resolver.addresses("mx.mail.svc"), { kind: "nxdomain" });
  const found = await resolver.addresses("mx.mail.svc", { search: true });
  assert.equal(
    found.kind,
    "none",
    "a name that exists under the first search domain ends the search",
  );
  const second = createResolver({ servers: [dns.server], searchDomains: ["cluster.local"] });
  assert.deepEqual(await second.addresses("mx.mail.svc", { search: true }), {
    kind: "addresses",
    addresses: ["10.0.0.7"],
  });
  resolver.close();
  second.close();
  dns.close();
});

test("delivery: by MX, the mail goes to a host that DNS names, never to one on this machine unless allowed", async () => {
  const dns = await respond(zone);
  const next = await misbehaving();
  const resolver = createResolver({ servers: [dns.server], timeoutMs: 150, tries: 1 });
  const route = routeTo([], { target: { kind: "mx" } });
  const denied = deliveryFor({ resolver, outboundPort: next.port });
  const allowed = deliveryFor({ resolver, outboundPort: next.port, mxDeniedNetworks: [] });
  const job = (domain: string) => jobTo(route, [`a@${domain}`], { domain });
  const brief = async (delivery: typeof denied, domain: string): Promise<string> => {
    const [outcome] = await delivery.deliver(job(domain), never);
    return `${outcome?.kind} ${outcome?.reply.status}`;
  };
  assert.equal(await brief(allowed, "local.test"), "delivered 2.0.0");
  assert.equal(await brief(denied, "local.test"), "failed 5.4.4");
  assert.equal(await brief(denied, "loop.test"), "failed 5.4.4");
  assert.equal(await brief(denied, "gone.test"), "failed 5.1.2");
  assert.equal(await brief(denied, "empty.test"), "failed 5.1.2");
  assert.equal(await brief(denied, "null.test"), "failed 5.1.10");
  assert.equal(await brief(denied, "ill.test"), "deferred 4.4.3");
  assert.equal(await brief(denied, "[192.0.2.1]"), "failed 5.1.2");
  const named = await allowed.deliver(
    jobTo(routeTo([{ host: "gone.test" }]), ["a@to.test"]),
    never,
  );
  assert.deepEqual(
    named.map(({ kind, reply }) => `${kind} ${reply.status}`),
    ["deferred 4.4.3"],
  );
  assert.equal(next.messages.length, 1);
  for (const delivery of [denied, allowed]) await delivery.close({ graceMs: 0 });
  resolver.close();
  dns.close();
  await next.close();
});
