/**
 * A password that is changed at the next hop first, and in the Secret long after: mail waits meanwhile, nobody is told of
 * a failure, and the edited Secret is all that it takes. What stands for the ten minutes between is that every message
 * has been tried again, and refused, several times.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../ledger/relay-process.ts";
import { makeCertificate } from "./certificate.ts";
import { hopHost, specTo } from "./pods.ts";
import { site, skip, timeout } from "./pods-site.ts";
import { lentSecret } from "./run.ts";

const hop = "rotating";
const domain = "rotating.test";
const attemptsMin = 4;
const passwords = { first: "the-first-password", second: "the-second-password" };
const waiting = Array.from({ length: 5 }, (_, number) => `waits-${number}@${domain}`);

type Line = {
  readonly event: string;
  readonly to?: string;
  readonly hop?: string;
  readonly cause?: string;
  readonly code?: number;
};

/** What the relays have logged about this hop and domain. */
async function logged(): Promise<readonly Line[]> {
  const lines = (await site().first.logs("relay")).split("\n");
  const theirs = lines.filter((line) => line.includes(domain) || line.includes(hopHost(hop)));
  return theirs.map((line) => JSON.parse(line) as Line);
}

async function login(password: string): Promise<void> {
  await site().pods.apply(lentSecret("rotating-login", { username: "relay", password }, hop));
}

/** The next hop with the first password, and a route that has it, too. */
async function prepare(): Promise<void> {
  const { pods } = site();
  const { certificate, key } = await makeCertificate(hopHost(hop));
  const stringData = {
    "tls.crt": certificate,
    "tls.key": key,
    password: passwords.first,
    "next-password": passwords.second,
  };
  const metadata = { name: hop, namespace: "hops" };
  await pods.apply({ apiVersion: "v1", kind: "Secret", metadata, stringData });
  await pods.hop({ name: hop, args: ["cluster/pod-login-sink.ts"], secret: hop });
  await pods.apply(lentSecret("rotating-authority", { "ca.crt": certificate }, hop));
  await login(passwords.first);
  await pods.route(hop, {
    ...specTo(hop, domain),
    tls: { mode: "Verified", caSecretRef: { name: "rotating-authority" } },
    auth: { secretRef: { name: "rotating-login" } },
  });
  await pods.until(hop, { type: "Ready", says: /^True/ });
}

test("rotation: a password changed at the next hop before its Secret bounces nothing, and no relay is restarted", {
  skip,
  timeout,
}, async () => {
  const { pods, first } = site();
  const startedMs = Date.now();
  await prepare();
  await pods.send(`before@${domain}`);
  await pods.isAt(`before@${domain}`, hop);
  const relays = [first.relay(0), first.relay(1)];
  const restarts = async (): Promise<readonly number[]> =>
    await Promise.all(relays.map(async (pod) => (await first.container(pod)).restartCount));
  const before = await restarts();
  await pods.signal(hop, "HUP");
  for (const to of waiting) await pods.send(to);
  const areRefused = async (): Promise<boolean> => {
    const lines = await logged();
    return waiting.every((each) => {
      const refusals = lines.filter(
        ({ event, to, code, cause }) =>
          event === "deferred" && to === each && code === 535 && cause === "auth",
      );
      return refusals.length >= attemptsMin;
    });
  };
  const limit = { msMax: 90_000, what: "each was refused again and again", everyMs: 1000 };
  await eventually(areRefused, limit);
  await pods.until(hop, { type: "Delivering", says: /^False/ });
  const meanwhile = await logged();
  const isRested = ({ event, cause }: Line): boolean => event === "rested" && cause === "auth";
  assert.ok(meanwhile.some(isRested), "the next hop is left alone for a while");
  await login(passwords.second);
  for (const to of waiting) await pods.isAt(to, hop);
  await pods.until(hop, { type: "Delivering", says: /^True/ });
  const told = (await logged()).filter(({ event }) => /^(bounced|reported)$/.test(event));
  assert.deepEqual(told, []);
  const reports = (await pods.received("mx")).filter(
    ({ atMs, recipients }) => atMs > startedMs && recipients.includes("me@client.test"),
  );
  assert.deepEqual(reports, [], "the sender hears of no failure");
  assert.deepEqual(await restarts(), before);
});
