/**
 * The client side of acceptance tests: real SMTP over a socket, one line at a time or a whole letter.
 * Addresses are strings as they stand between < and >; UTF-8 goes out as UTF-8.
 */
import { connect } from "node:net";
import { TestClient } from "../../relay/listener/dialog.testkit.ts";

export type Letter = {
  /** Without <>; "" is the null sender. */
  readonly from?: string;
  readonly to: readonly string[];
  readonly subject?: string;
  readonly text?: string;
  /** Of MAIL: "SMTPUTF8". */
  readonly parameters?: string;
};

/** Whole replies; `data` is the answer to the message, "" where it came to no message. */
export type Answers = {
  readonly mail: string;
  readonly rcpt: readonly string[];
  readonly data: string;
};

export type From = { readonly localAddress?: string; readonly host?: string };

/** The address that no test trusts. */
export const stranger: From = { localAddress: "127.0.0.5" };

/** A connection whose banner has not been read. */
export function dial(port: number | undefined, from: From = {}): TestClient {
  if (port === undefined) throw new Error("the relay does not run");
  const { localAddress, host = "127.0.0.1" } = from;
  const socket = connect({ port, host, ...(localAddress !== undefined && { localAddress }) });
  return new TestClient(port, socket);
}

/** A connection that has said EHLO. */
export async function greeted(port: number | undefined, from: From = {}): Promise<TestClient> {
  return await greet(dial(port, from));
}

/** Reads the banner and says EHLO; the answer is the same connection. */
export async function greet(client: TestClient): Promise<TestClient> {
  const banner = await client.reply();
  if (!banner.startsWith("220 ")) throw new Error(`no greeting: ${banner}`);
  const reply = await say(client, "EHLO client.test");
  if (!reply.startsWith("250")) throw new Error(`EHLO was answered ${reply}`);
  return client;
}

export async function say(client: TestClient, line: string): Promise<string> {
  client.send(Buffer.from(`${line}\r\n`).toString("latin1"));
  return await client.reply();
}

/** One letter over an open connection, which stays open. */
export async function hand(client: TestClient, letter: Letter): Promise<Answers> {
  const { from = "sender@home.test", to, parameters } = letter;
  const mail = await say(
    client,
    `MAIL FROM:<${from}>${parameters === undefined ? "" : ` ${parameters}`}`,
  );
  const rcpt: string[] = [];
  if (mail.startsWith("250")) {
    for (const recipient of to) rcpt.push(await say(client, `RCPT TO:<${recipient}>`));
  }
  if (!rcpt.some((reply) => reply.startsWith("250"))) {
    await say(client, "RSET");
    return { mail, rcpt, data: "" };
  }
  return { mail, rcpt, data: await sendBody(client, letter) };
}

/** DATA, the message and its answer. */
export async function sendBody(
  client: TestClient,
  letter: Pick<Letter, "subject" | "text">,
): Promise<string> {
  const { subject = "acceptance", text = "Hello." } = letter;
  const data = await say(client, "DATA");
  if (!data.startsWith("354")) return data;
  return await say(client, `Subject: ${subject}\r\n\r\n${text}\r\n.`);
}

/** One letter over a connection of its own. */
export async function send(
  port: number | undefined,
  letter: Letter,
  from: From = {},
): Promise<Answers> {
  const client = await greeted(port, from);
  try {
    return await hand(client, letter);
  } finally {
    client.socket.destroy();
  }
}

/** The id under which a message was taken: "250 2.0.0 queued as ID". */
export function idIn(reply: string): string {
  const id = /^250 2\.0\.0 queued as (\w+)$/.exec(reply)?.[1];
  if (id === undefined) throw new Error(`not taken: ${reply}`);
  return id;
}
