/**
 * A real relay and a next hop for every way to misbehave (next-hop-rows.ts), all at once: each recipient's fate
 * and the reply that is kept, whether another host was asked, and that nothing was lost, sent twice or changed.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type Misbehaving, misbehaving } from "../../relay/delivery/misbehaving.testkit.ts";
import type { MisbehavingOptions } from "../../relay/delivery/misbehaving-options.testkit.ts";
import {
  eventually,
  hostsRoute,
  type RelayProcess,
  relayProcess,
} from "../ledger/relay-process.ts";
import { idIn, send } from "./client.ts";
import { drained, type Hosts, logged, startHosts } from "./hosts.ts";
import { type Row, rows, type Wanted } from "./next-hop-rows.ts";
import { parseReport } from "./report.ts";

const hopFile = (name: string): string =>
  readFileSync(join(import.meta.dirname, "../../relay/delivery/fixtures", name), "utf8");
const tls = { cert: hopFile("hop.pem"), key: hopFile("hop.key") };
const logins = ["user:secret"];
const stageMsMax = 4000;
const sendersAtOnce = 12;
/** Lines that begin with dots, and one that is longer than RFC 5321 has them. */
const text = `Hello.\r\n..one dot\r\n${"long ".repeat(300)}\r\n...two dots`;
const sentText = text.replaceAll("\r\n..", "\r\n.");
/** The host is the only one; has a well-behaved one behind it; misbehaves on a kept connection. */
const kinds = ["alone", "paired", "kept"] as const;

/** A row, at a host of its own. */
type Case = {
  readonly row: Row;
  readonly kind: (typeof kinds)[number];
  readonly domain: string;
  readonly recipients: readonly string[];
  readonly hop: Misbehaving;
  id: string;
};

function hopOptions({ words, settings }: Row): MisbehavingOptions {
  const manner = (name: string) => settings.get(name);
  const { ehlo, helo } = { ehlo: manner("ehlo"), helo: manner("helo") };
  const extensions = manner("ext")
    ?.split(",")
    .filter((word) => word !== "")
    .map((word) => word.replace(":", " "));
  const refused = /^(.*):(.*)$/.exec(manner("refuses") ?? "");
  const auth = manner("auth");
  const handshake = manner("handshake") as MisbehavingOptions["handshake"];
  return {
    banner: manner("banner") ?? "",
    ...(ehlo !== undefined && { ehlo }),
    ...(helo !== undefined && { helo }),
    startTls: manner("starttls") ?? "",
    quit: manner("quit") ?? "",
    ...(handshake !== undefined && { handshake }),
    ...(extensions !== undefined && { extensions }),
    ...(refused !== null && { parameters: { [refused[1] ?? ""]: refused[2] ?? "" } }),
    ...(words.has("forgetful") && { forgetful: true }),
    ...(words.has("tls") && { tls }),
    ...(words.has("login") && auth !== "none" && { logins }),
    ...(auth !== undefined && { auth }),
    ...(words.has("lmtp") && !words.has("smtp") && { protocol: "LMTP" }),
  };
}

type Others = { readonly smtp: Misbehaving; readonly lmtp: Misbehaving };

/** The case's route as a manifest, with the Secrets that it needs. */
function manifests({ row, kind, domain, hop }: Case, others: Others): readonly object[] {
  const { words, settings } = row;
  const other = words.has("lmtp") ? others.lmtp : others.smtp;
  const ports = kind === "paired" ? [hop.port, other.port] : [hop.port];
  const hosts = ports.map((port, priority) => ({ host: "127.0.0.1", port, priority }));
  // Nobody listens at its port there, now or later.
  if (settings.has("connect")) hosts[0] = { host: "127.0.0.9", port: hop.port, priority: 0 };
  const login = words.has("login");
  const mode = settings.get("mode") ?? (login ? "Required" : "Disabled");
  const route = hostsRoute(domain.replace(".test", ""), { domains: [domain] }, hosts, {
    tls: { mode, ...(login && { caSecretRef: { name: `${domain}-ca` } }) },
    ...(login && { auth: { secretRef: { name: `${domain}-login` } } }),
    ...(words.has("lmtp") && { protocol: "LMTP" }),
    retry: { initial: "1h", max: "1h" },
  });
  const secret = (name: string, stringData: object): object => ({
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      name,
      namespace: "mail",
      annotations: { "mailroute.dev/hosts": ports.map((port) => `127.0.0.1:${port}`).join(",") },
    },
    stringData,
  });
  if (!login) return [route];
  return [
    route,
    secret(`${domain}-ca`, { "ca.crt": hopFile("ca.pem") }),
    secret(`${domain}-login`, { username: "user", password: "secret" }),
  ];
}

/** Whether a message before it goes well at the same host. */
function isKeepable({ words, settings }: Row): boolean {
  const isLate = [...settings.keys()].every((name) => name === "mail" || name === "ext");
  const ext = settings.get("ext");
  const isUnsaid = ext === "SIZE:100" || (ext !== undefined && words.has("utf8"));
  const isTold = words.has("forgetful") || words.has("smtp") || isUnsaid;
  return isLate && !isTold;
}

async function casesOf(row: Row, index: number): Promise<readonly Case[]> {
  const cases: Case[] = [];
  for (const kind of kinds) {
    if (kind === "kept" && !isKeepable(row)) continue;
    const domain = `r${index}-${kind}.test`;
    const hop = await misbehaving(hopOptions(row));
    const to = row.words.has("utf8") ? ["grün"] : row.to;
    const recipients = to.map((local) => `${local}@${domain}`);
    cases.push({ row, kind, domain, recipients, hop, id: "" });
  }
  return cases;
}

/** A message that goes well, so that there is a kept connection. */
function first(relay: RelayProcess, { domain }: Case): () => Promise<void> {
  return async () => {
    idIn((await send(relay.port(), { to: [`first@${domain}`], text })).data);
  };
}

async function submit(relay: RelayProcess, one: Case): Promise<void> {
  const { words, settings } = one.row;
  const parameters = [
    ...(words.has("8bit") ? ["BODY=8BITMIME"] : []),
    ...(words.has("utf8") ? ["SMTPUTF8"] : []),
    ...(words.has("dsn") ? ["RET=HDRS"] : []),
  ].join(" ");
  const answers = await send(relay.port(), {
    from: `${settings.get("mail") ?? "sender"}@home.test`,
    to: one.recipients,
    subject: one.domain,
    text: words.has("8bit") ? `${text}\r\nGrüße` : text,
    ...(parameters !== "" && { parameters }),
  });
  one.id = idIn(answers.data);
}

/** What holds for the recipient: the second host takes what the first one's misbehaviour allows. */
function wantedOf(one: Case, at: number): Wanted {
  const wanted = one.row.wanted[at] as Wanted;
  if (one.kind !== "paired" || !wanted.another) return wanted;
  return { ...wanted, kind: "delivered", cause: undefined, code: 250, status: "2.0.0" };
}

function copies(hop: Misbehaving, recipient: string): readonly string[] {
  return hop.messages
    .filter(({ recipients }) => recipients.includes(recipient))
    .map(({ body }) => body.toString("utf8"));
}

describe("a next hop that misbehaves", { timeout: 180_000 }, () => {
  const cases: Case[] = [];
  let others: Others;
  let home: Hosts;
  let last: Misbehaving;
  let relay: RelayProcess;

  before(async () => {
    const polite = { polite: true, tls, logins } as const;
    others = {
      smtp: await misbehaving(polite),
      lmtp: await misbehaving({ ...polite, protocol: "LMTP" }),
    };
    for (const [index, row] of rows.entries()) cases.push(...(await casesOf(row, index)));
    home = await startHosts(["home"]);
    last = await misbehaving(polite);
    relay = relayProcess({
      delivery: {
        idleMsMax: 60_000,
        connectMsMax: stageMsMax,
        greetingMsMax: stageMsMax,
        commandMsMax: stageMsMax,
        dataMsMax: stageMsMax,
      },
    });
    relay.routes("home.yaml", [
      hostsRoute("home", { domains: ["home.test"] }, home.target("home")),
    ]);
    relay.routes(
      "rows.yaml",
      cases.flatMap((one) => manifests(one, others)),
    );
    await relay.start();
    await submitAll(cases.filter(({ kind }) => kind === "kept").map((one) => first(relay, one)));
    await drained(relay, 60_000);
    await submitAll(cases.map((one) => async () => await submit(relay, one)));
    const count = cases.reduce((sum, { recipients }) => sum + recipients.length, 0);
    const known = () => cases.flatMap((one) => fatesOf(one)).length >= count;
    await eventually(known, { msMax: 60_000, everyMs: 200, what: "every recipient has a fate" });
    // Whoever waits goes to a host that takes everything, and to no other any more.
    const rerouted = cases.map(({ domain }) =>
      hostsRoute(domain.replace(".test", ""), { domains: [domain] }, [
        { host: "127.0.0.1", port: last.port },
      ]),
    );
    relay.routes("rows.yaml", rerouted);
    await drained(relay, 60_000);
  });
  /** By so many clients at once. */
  async function submitAll(work: readonly (() => Promise<void>)[]): Promise<void> {
    const waiting = work.values();
    const client = async (): Promise<void> => {
      for (const each of waiting) await each();
    };
    await Promise.all(Array.from({ length: sendersAtOnce }, client));
  }

  after(async () => {
    await relay?.close();
    for (const { hop } of cases) await hop.close();
    for (const hop of [others?.smtp, others?.lmtp]) await hop?.close();
    await home?.close();
    await last?.close();
  });

  /** Of the first attempt, in the order of the recipients. */
  const fatesOf = ({ id, recipients }: Case): readonly Record<string, unknown>[] => {
    const lines = (["delivered", "deferred", "bounced"] as const).flatMap((event) =>
      id === "" ? [] : logged(relay, event, { id, attempt: 1 }),
    );
    return recipients.flatMap((to) => lines.filter((line) => line["to"] === to));
  };

  const reportedStatus = (recipient: string): readonly (string | undefined)[] =>
    home.arrivals
      .flatMap(({ text: report }) => parseReport(report).recipients)
      .filter((fields) => fields.get("final-recipient")?.endsWith(recipient.replace(/^grün/, "")))
      .map((fields) => fields.get("status"));

  const checkFate = (one: Case, at: number): void => {
    const recipient = one.recipients[at] ?? "";
    const wanted = wantedOf(one, at);
    const fates = fatesOf(one).filter((line) => line["to"] === recipient);
    assert.deepEqual(
      fates.map(({ event, cause, code, status }) => ({ event, cause, code, status })),
      [{ event: wanted.kind, cause: wanted.cause, code: wanted.code, status: wanted.status }],
      JSON.stringify(fates),
    );
    const { another } = one.row.wanted[at] as Wanted;
    const other = one.row.words.has("lmtp") ? others.lmtp : others.smtp;
    const went = wanted.kind === "delivered";
    const atOther = one.kind === "paired" && another;
    const bodies = {
      hop: copies(one.hop, recipient),
      other: copies(other, recipient),
      last: copies(last, recipient),
    };
    assert.deepEqual(
      { hop: bodies.hop.length, other: bodies.other.length, last: bodies.last.length },
      {
        hop: (went && !atOther) || wanted.lost ? 1 : 0,
        other: atOther ? 1 : 0,
        last: wanted.kind === "deferred" ? 1 : 0,
      },
      "copies",
    );
    const end = one.row.words.has("8bit") ? `${sentText}\r\nGrüße\r\n` : `${sentText}\r\n`;
    for (const body of Object.values(bodies).flat()) {
      assert.ok(body.endsWith(`\r\n\r\n${end}`), "not a byte of it was changed");
    }
    const status = wanted.kind === "bounced" ? [wanted.status] : [];
    assert.deepEqual(reportedStatus(recipient), status, "what the sender was told");
  };

  for (const row of rows) {
    test(`next hop: ${row.title}`, () => {
      for (const one of cases.filter((each) => each.row === row)) {
        if (one.kind === "kept") {
          const sender = `<${row.settings.get("mail") ?? "sender"}@home.test>`;
          const said = one.hop.commands.filter((line) => line.startsWith("1 MAIL FROM:"));
          assert.ok(said.length === 2 && said[1]?.includes(sender), "on the kept connection");
        }
        for (const at of one.recipients.keys()) checkFate(one, at);
      }
    });
  }
});
