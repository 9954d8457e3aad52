/**
 * For tests: SMTP dialogs as data. A dialog file holds sections, each a title, options and a script:
 *
 *   == MAIL: a nested MAIL is refused (RFC 5321 section 4.1.4)
 *   limits {"recipientsMax": 2}     changes limits of the listener
 *   no certificate                  STARTTLS is not offered
 *   implicit TLS                    TLS from the first byte; T: begins it
 *   authentication required         a submission listener
 *   accounts {"joe": "secret"}      AUTH is offered, for these
 *   greeting delay 50               the greeting comes so many ms late
 *   balancers ["127.0.0.1"]         a PROXY twin for these
 *   C: NOOP                         a line to send; consecutive ones go in one write
 *   R: "MAIL FROM:<a>\n{x*9}"       the same, raw, as a JSON string (bytes as latin1; nine x)
 *   X: 0d0a 00                      the same, as bytes in hexadecimal; spaces count for nothing
 *   S: 250 2.0.0                    the next reply begins so (its first line, "-" read as " ")
 *   S+ SIZE 1000                    that reply also has this line
 *   S! STARTTLS                     that reply has no such line
 *   T:                              the client begins TLS
 *   W: 50                           waits so many ms
 *   E:                              the server closes the connection
 *   A: 192.0.2.1 25 by 127.0.0.1    address and port (* is any) of the last client, its balancer if any
 *   B: "Subject: x\r\n"             the body of the last message received
 *   L: refused syntax               the listener has told of this event
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { type ConnectionOptions, connect as tlsConnect } from "node:tls";
import { type NetworkSet, networkSet } from "../../routing/network.ts";
import type { ListenerLimits } from "./limits.ts";
import type { Client } from "./reception.ts";
import { type Accounts, Recorder } from "./recorder.testkit.ts";
import { createListener, type Listener, type ListenerOptions } from "./server.ts";
import { mailContext } from "./tls-context.ts";

export type Dialog = {
  readonly title: string;
  readonly limits: Partial<ListenerLimits>;
  readonly plain: boolean;
  readonly implicitTls?: true;
  readonly authentication?: "Required";
  readonly balancers?: NetworkSet;
  readonly accounts?: Accounts;
  readonly greetingDelayMs?: number;
  readonly steps: readonly {
    readonly line: number;
    readonly kind: string;
    readonly text: string;
  }[];
};

export const LIMITS: ListenerLimits = {
  messageBytesMax: 100_000,
  recipientsMax: 100,
  commandBytesMax: 4096,
  commandsPerSessionMax: 1000,
  errorsMax: 20,
  sessionMsMax: 60_000,
  idleMsMax: 30_000,
  proxyHeaderMsMax: 5000,
  lineBytesMax: 50_000,
  connectionsMax: 100,
  connectionsPerClientMax: 50,
  receivingBytesMax: 1_000_000,
  receivingBytesPerClientMax: 1_000_000,
  refusedRecipientsMax: 100,
  dataBytesPerSecondMin: 0,
  dataWindowMs: 60_000,
};

/** The certificate `mx` or `swapped` of the fixtures. */
export function certificate(name: "mx" | "swapped") {
  const read = (part: string): string =>
    readFileSync(new URL(`fixtures/${name}.${part}.pem`, import.meta.url), "latin1");
  return mailContext({ cert: read("cert"), key: read("key") });
}

const mx = certificate("mx");

export type Bench = {
  readonly listener: Listener;
  readonly recorder: Recorder;
  readonly port: number;
};

/** A listener on a free port of 127.0.0.1, with a recorder behind it. */
export async function startBench(
  options: Partial<Omit<ListenerOptions, "limits">> & {
    readonly limits?: Partial<ListenerLimits>;
    readonly plain?: boolean;
    readonly accounts?: Accounts;
  } = {},
): Promise<Bench> {
  const recorder = new Recorder(options.accounts);
  const listener = createListener({
    name: "test",
    host: "127.0.0.1",
    port: 0,
    hostname: "mx.test",
    reception: recorder,
    events: recorder,
    ...(options.plain === true ? {} : { tls: { context: () => mx } }),
    ...options,
    limits: { ...LIMITS, ...options.limits },
  });
  await listener.listen();
  return { listener, recorder, port: listener.address().port };
}

/** A client that reads whole replies. */
export class TestClient {
  socket: Socket;
  closed = false;
  #text = "";
  #wake: (() => void) | undefined;

  constructor(port: number, socket: Socket = connect(port, "127.0.0.1")) {
    this.socket = socket;
    this.#attach(socket);
  }

  send(text: string): void {
    this.socket.write(text, "latin1");
  }

  /** The next whole reply, lines joined by \n, or "" when the server has closed. */
  async reply(): Promise<string> {
    for (;;) {
      const match = /^(?:\d{3}-[^\r]*\r\n)*\d{3} [^\r]*\r\n/.exec(this.#text);
      if (match !== null) {
        this.#text = this.#text.slice(match[0].length);
        return match[0].replaceAll("\r\n", "\n").trimEnd();
      }
      if (this.closed) return "";
      await this.#more();
    }
  }

  /** Resolves with what was left unread when the server closes. */
  async end(): Promise<string> {
    while (!this.closed) await this.#more();
    return this.#text;
  }

  async startTls(options: ConnectionOptions = {}): Promise<void> {
    this.socket.removeAllListeners("data");
    const secure = tlsConnect({ socket: this.socket, rejectUnauthorized: false, ...options });
    this.socket = secure;
    this.#attach(secure);
    await new Promise((resolve) => secure.once("secureConnect", resolve));
  }

  async #more(): Promise<void> {
    const timeout = setTimeout(() => this.socket.destroy(new Error("no answer")), 5000);
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    clearTimeout(timeout);
  }

  #attach(socket: Socket): void {
    socket.on("data", (data: Buffer) => {
      this.#text += data.toString("latin1");
      this.#wake?.();
    });
    const closed = (): void => {
      if (socket !== this.socket) return;
      this.closed = true;
      this.#wake?.();
    };
    socket.on("end", closed);
    socket.on("close", closed);
    socket.on("error", () => undefined);
  }
}

/** Reads a dialog file; `file` is an absolute path or URL. */
export function readDialogs(file: URL): Dialog[] {
  const dialogs: (Omit<Dialog, "steps"> & { steps: Dialog["steps"][number][] })[] = [];
  for (const [index, text] of readFileSync(file, "utf8").split("\n").entries()) {
    const title = /^== (.*)/.exec(text)?.[1];
    const last = dialogs.at(-1);
    const option = optionOf(text);
    if (title !== undefined) {
      dialogs.push({ title, limits: {}, plain: false, steps: [] });
    } else if (last !== undefined && option !== undefined) {
      dialogs[dialogs.length - 1] = { ...last, ...option };
    } else if (text !== "" && !text.startsWith("#")) {
      const [, kind, rest] = /^([CRXSTWEABL][:+!]) ?(.*)$/.exec(text) ?? [];
      assert.ok(last && kind, `${file.pathname}:${index + 1}: not a dialog line: ${text}`);
      last.steps.push({ line: index + 1, kind, text: rest ?? "" });
    }
  }
  return dialogs;
}

/** What a line below the title sets; undefined where it is none of the options. */
function optionOf(line: string): Partial<Omit<Dialog, "steps">> | undefined {
  const [, name, value = ""] = /^(limits|balancers|accounts|greeting delay) (.*)/.exec(line) ?? [];
  if (name === "limits") return { limits: JSON.parse(value) };
  if (name === "accounts") return { accounts: JSON.parse(value) };
  if (name === "greeting delay") return { greetingDelayMs: Number(value) };
  if (name === "balancers") return { balancers: networkSet(JSON.parse(value)) };
  if (line === "no certificate") return { plain: true };
  if (line === "implicit TLS") return { implicitTls: true };
  return line === "authentication required" ? { authentication: "Required" } : undefined;
}

/** Plays one dialog against a listener of its own; throws at the first difference. */
export async function play(dialog: Dialog): Promise<void> {
  const { listener, recorder, port } = await startBench(dialog);
  const client = new TestClient(port);
  try {
    let sending = "";
    let reply = "";
    for (const { line, kind, text } of dialog.steps) {
      const where = `line ${line}: ${kind} ${text}`;
      const said = bytesOf(kind, text);
      if (said !== undefined) {
        sending += said;
        continue;
      }
      if (sending !== "") client.send(sending);
      sending = "";
      if (kind === "S:") {
        reply = await client.reply();
        assert.equal(reply.replace("-", " ").slice(0, text.length), text, where);
      } else if (kind === "S+" || kind === "S!") {
        const lines = reply.split("\n").map((one) => one.slice(4));
        assert.equal(lines.includes(text), kind === "S+", where);
      } else {
        await act(kind, text, { client, recorder, where });
      }
    }
  } finally {
    client.socket.destroy();
    await listener.stop({ graceMs: 0 });
  }
}

/** What a line says to the server, as latin1; undefined where it says nothing. */
function bytesOf(kind: string, text: string): string | undefined {
  switch (kind) {
    case "C:":
      return `${Buffer.from(text).toString("latin1")}\r\n`;
    case "R:":
      return raw(text);
    case "X:":
      return Buffer.from(text.replaceAll(" ", ""), "hex").toString("latin1");
    default:
      return undefined;
  }
}

function raw(text: string): string {
  return String(JSON.parse(text)).replace(/\{(.)\*(\d+)\}/g, (_all, one: string, times) =>
    one.repeat(Number(times)),
  );
}

function clientText(client: Client | undefined, wanted: string): string {
  if (client === undefined) return "nobody";
  const { address, port, balancer } = client;
  const shown = wanted.includes(" * ") ? "*" : port;
  return `${address} ${shown}${balancer === undefined ? "" : ` by ${balancer}`}`;
}

async function act(
  kind: string,
  text: string,
  { client, recorder, where }: { client: TestClient; recorder: Recorder; where: string },
): Promise<void> {
  switch (kind) {
    case "T:":
      return await client.startTls();
    case "W:":
      return await wait(Number(text));
    case "E:":
      assert.equal(await client.end(), "", where);
      return;
    case "A:":
      assert.equal(clientText(recorder.clients.at(-1), text), text, where);
      return;
    case "B:":
      assert.equal(recorder.messages.at(-1)?.text, JSON.parse(text), where);
      return;
    case "L:":
      assert.ok(recorder.log.includes(text), `${where}: in ${recorder.log.join(", ")}`);
      return;
    default:
      throw new TypeError(where);
  }
}
