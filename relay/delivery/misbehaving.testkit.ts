/**
 * A next hop that misbehaves on demand, for tests: the local part of an address says what happens to it, as
 * manners.testkit.ts has it. A recipient's acts at RCPT unless it names the stage data, body or final; the
 * sender's acts at MAIL; what comes before them is said by options. Whatever else is accepted and kept in
 * `messages`.
 */
import { createServer, type Server, type Socket } from "node:net";
import { createSecureContext, TLSSocket } from "node:tls";
import { type Manner, mannerOf, perform, takes } from "./manners.testkit.ts";
import type { MisbehavingOptions } from "./misbehaving-options.testkit.ts";

type Received = {
  readonly sender: string;
  readonly recipients: readonly string[];
  /** As it was before dot-stuffing. */
  readonly body: Buffer;
  readonly secure: boolean;
  readonly session: number;
  readonly login: string | undefined;
};

export type Misbehaving = {
  readonly port: number;
  readonly messages: readonly Received[];
  /** Every command line of every session, "1 EHLO x". */
  readonly commands: readonly string[];
  /** Sessions begun. */
  sessions(): number;
  /** From now on 421 to whoever connects while so many sessions are open. */
  limitSessions(max: number): void;
  /** From now on `manner` at MAIL while more sessions than that are open. */
  crowdedAbove(sessionsMax: number, manner: string): void;
  /** Cuts all connections off without a word. */
  dropAll(): void;
  /** Says this on all connections, unasked. */
  sayAll(text: string): void;
  close(): Promise<void>;
};

const resetAfterMs = 100;
const defaultExtensions = [
  "PIPELINING",
  "SIZE 52428800",
  "8BITMIME",
  "SMTPUTF8",
  "ENHANCEDSTATUSCODES",
];
export async function misbehaving(options: MisbehavingOptions = {}): Promise<Misbehaving> {
  const { host = "127.0.0.1" } = options;
  const messages: Received[] = [];
  const commands: string[] = [];
  const open = new Set<Session>();
  let count = 0;
  let sessionsMax = Number.POSITIVE_INFINITY;
  let crowd = { above: Number.POSITIVE_INFINITY, manner: "" };
  const crowded = (): string | undefined => (open.size > crowd.above ? crowd.manner : undefined);
  const server: Server = createServer({ noDelay: true }, (socket) => {
    if (open.size >= sessionsMax) {
      socket.on("error", () => {}).end("421 4.7.0 too many connections\r\n");
      return;
    }
    const session = new Session({
      ...{ options, messages, commands, number: ++count, socket, crowded },
    });
    open.add(session);
    socket.on("close", () => open.delete(session));
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, host, resolve));
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    messages,
    commands,
    sessions: () => count,
    limitSessions: (max) => {
      sessionsMax = max;
    },
    crowdedAbove: (above, manner) => {
      crowd = { above, manner };
    },
    dropAll: () => {
      for (const session of open) session.drop();
    },
    sayAll: (text) => {
      for (const session of open) session.write(text);
    },
    close: async () => {
      for (const session of open) session.drop();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

type Surroundings = {
  readonly options: MisbehavingOptions;
  readonly messages: Received[];
  readonly commands: string[];
  readonly number: number;
  readonly socket: Socket;
  /** The manner of the moment at MAIL. */
  readonly crowded: () => string | undefined;
};

class Session {
  private readonly around: Surroundings;
  private socket: Socket;
  private buffer = Buffer.alloc(0);
  private state: "command" | "data" | "login" | "refused" | "dead" = "command";
  private secure = false;
  private login: string | undefined;
  private loginLines: string[] = [];
  private sender: string | undefined;
  private accepted: string[] = [];
  private busy: Promise<void> = Promise.resolve();

  constructor(around: Surroundings) {
    this.around = around;
    this.socket = around.socket;
    this.listen();
    this.busy = this.act(mannerOf(around.options.banner ?? ""), "220 misbehaving.test ready");
  }

  write(bytes: string | Buffer): void {
    if (this.socket.writable) this.socket.write(bytes);
  }

  reset(): void {
    this.state = "dead";
    // Not while the other side may still be connecting: that would be a refusal.
    setTimeout(() => this.around.socket.resetAndDestroy(), resetAfterMs);
  }

  end(): void {
    this.socket.end();
  }

  mute(): void {
    this.state = "dead";
  }

  repeat(everyMs: number, action: () => void): void {
    const timer = setInterval(action, everyMs);
    this.around.socket.once("close", () => clearInterval(timer));
  }

  drop(): void {
    this.state = "dead";
    this.socket.destroy();
    this.around.socket.destroy();
  }

  private listen(): void {
    this.socket.on("error", () => {});
    this.socket.on("data", (chunk: Buffer) => {
      this.buffer = Buffer.concat([this.buffer, chunk]);
      this.busy = this.busy.then(() => this.take());
    });
  }

  private async take(): Promise<void> {
    while (this.state !== "dead") {
      if (this.state === "data") {
        if (!(await this.takeBody())) return;
        continue;
      }
      const end = this.buffer.indexOf("\r\n");
      if (end === -1) return;
      const line = this.buffer.subarray(0, end).toString("utf8");
      this.buffer = this.buffer.subarray(end + 2);
      if (this.around.options.forgetful) this.buffer = Buffer.alloc(0);
      await this.command(line);
    }
  }

  private async command(line: string): Promise<void> {
    const { options, commands, number } = this.around;
    commands.push(`${number} ${line}`);
    if (this.state === "login") {
      this.loginLine(line);
      return;
    }
    if (this.state === "refused") {
      this.state = "command";
      this.write(line === "" ? "535 5.7.8 wrong token\r\n" : "501 5.5.4 an empty line, please\r\n");
      return;
    }
    const verb = line.split(/[ :]/, 1)[0]?.toUpperCase();
    const { ehlo = "", helo = ehlo, startTls = "", auth = "" } = options;
    if (verb === "EHLO" || verb === "LHLO") await this.act(mannerOf(ehlo), this.greeting(verb));
    else if (verb === "HELO") await this.act(mannerOf(helo), "250 misbehaving.test");
    else if (verb === "STARTTLS")
      await this.act(mannerOf(startTls), "220 2.0.0 go ahead", () => this.upgrade());
    else if (verb === "AUTH") await this.act(mannerOf(auth), "", () => this.authenticate(line));
    else if (verb === "MAIL") await this.mail(line);
    else if (verb === "RCPT") await this.rcpt(line);
    else if (verb === "DATA") await this.data();
    else if (verb === "RSET") {
      this.clear();
      await this.act(mannerOf(options.rset ?? ""), "250 2.0.0 ok");
    } else if (verb === "QUIT") {
      await this.act(mannerOf(options.quit ?? ""), "221 2.0.0 bye");
      this.end();
    } else this.write("500 5.5.2 what?\r\n");
  }

  private greeting(verb: string): string {
    const { options } = this.around;
    const isWrong = (verb === "LHLO") !== (options.protocol === "LMTP");
    if (isWrong) return "500 5.5.1 another protocol is spoken here";
    const words = [...(options.extensions ?? defaultExtensions)];
    if (options.tls !== undefined && !this.secure) words.push("STARTTLS");
    if (options.bearers !== undefined) words.push("AUTH XOAUTH2");
    if (options.logins !== undefined)
      words.push(`AUTH${options.plain === false ? "" : " PLAIN"} LOGIN`);
    const lines = ["misbehaving.test", ...words];
    return lines.map((word, at) => `250${at === lines.length - 1 ? " " : "-"}${word}`).join("\r\n");
  }

  /** Does as the manner says, or says `reply`, or does `otherwise`. */
  private async act(manner: Manner | undefined, reply: string, otherwise?: () => void) {
    if (manner !== undefined) await perform(manner, this, reply);
    else if (otherwise === undefined) this.write(`${reply}\r\n`);
    else otherwise();
  }

  private parameterManner(line: string): Manner | undefined {
    const { parameters = {} } = this.around.options;
    const found = Object.entries(parameters).find(([word]) => line.includes(word));
    return found === undefined ? undefined : mannerOf(found[1]);
  }

  private upgrade(): void {
    const { tls, handshake } = this.around.options;
    if (tls === undefined) {
      this.write("502 5.5.1 no TLS here\r\n");
      return;
    }
    this.write("220 2.0.0 go ahead\r\n");
    this.socket.removeAllListeners("data");
    this.buffer = Buffer.alloc(0);
    if (handshake === "garbage") {
      // After the ClientHello: what comes before it is forgotten.
      this.socket.once("data", () => this.write("this is not a ServerHello"));
      return;
    }
    if (handshake === "hang") return;
    if (handshake === "drop") {
      this.drop();
      return;
    }
    const { clientCa } = tls;
    const context = createSecureContext({
      ...tls,
      ...(clientCa === undefined ? {} : { ca: clientCa }),
    });
    this.socket = new TLSSocket(this.socket, {
      isServer: true,
      secureContext: context,
      ...(clientCa === undefined ? {} : { requestCert: true, rejectUnauthorized: true }),
    });
    this.secure = true;
    this.listen();
  }

  private authenticate(line: string): void {
    const [, mechanism = "", initial] = line.split(" ");
    if (mechanism.toUpperCase() === "PLAIN" && initial !== undefined) {
      const [, user, password] = Buffer.from(initial, "base64").toString("utf8").split("\0");
      this.checkLogin(`${user}:${password}`);
      return;
    }
    if (mechanism.toUpperCase() === "XOAUTH2" && initial !== undefined) {
      this.checkBearer(Buffer.from(initial, "base64").toString("utf8"));
      return;
    }
    this.state = "login";
    this.loginLines = [];
    this.write("334 VXNlcm5hbWU6\r\n");
  }

  private checkBearer(response: string): void {
    const [user = "", bearer = "", ...rest] = response.split("\u0001");
    const login = `${user.replace(/^user=/, "")} ${bearer.replace(/^auth=Bearer /, "")}`;
    if (rest.join("|") === "|" && this.around.options.bearers?.has(login)) {
      this.login = login;
      this.write("235 2.7.0 welcome\r\n");
      return;
    }
    this.state = "refused";
    const reason = Buffer.from('{"status":"401","schemes":"bearer"}').toString("base64");
    this.write(`334 ${reason}\r\n`);
  }

  private loginLine(line: string): void {
    this.loginLines.push(Buffer.from(line, "base64").toString("utf8"));
    if (this.loginLines.length === 1) {
      this.write("334 UGFzc3dvcmQ6\r\n");
      return;
    }
    this.state = "command";
    this.checkLogin(this.loginLines.join(":"));
  }

  private checkLogin(login: string): void {
    if (this.around.options.logins?.includes(login)) {
      this.login = login;
      this.write("235 2.7.0 welcome\r\n");
    } else this.write("535 5.7.8 wrong password\r\n");
  }

  private async mail(line: string): Promise<void> {
    if (this.sender !== undefined) {
      this.write("503 5.5.1 nested MAIL\r\n");
      return;
    }
    const sender = /<(.*)>/.exec(line)?.[1] ?? "";
    const crowded = mannerOf(this.around.crowded() ?? "");
    const manner = crowded ?? this.parameterManner(line) ?? this.mannerOf(sender);
    if (takes(manner)) this.sender = sender;
    await this.act(manner, "250 2.1.0 ok");
  }

  private async rcpt(line: string): Promise<void> {
    const recipient = /<(.*)>/.exec(line)?.[1] ?? "";
    if (this.sender === undefined) {
      this.write("503 5.5.1 MAIL first\r\n");
      return;
    }
    const own = this.mannerOf(recipient);
    const manner = this.parameterManner(line) ?? (own?.stage === "" ? own : undefined);
    if (takes(manner)) this.accepted.push(recipient);
    await this.act(manner, "250 2.1.5 ok");
  }

  private mannerOf(address: string): Manner | undefined {
    return this.around.options.polite ? undefined : mannerOf(address.replace(/@[^@]*$/, ""));
  }

  private mannerAt(stage: string, recipients: readonly string[]): Manner | undefined {
    const all = recipients.map((recipient) => this.mannerOf(recipient));
    return all.find((manner) => manner?.stage === stage);
  }

  private async data(): Promise<void> {
    if (this.accepted.length === 0) {
      this.write("554 5.5.1 no valid recipients\r\n");
      return;
    }
    const manner = this.mannerAt("data", this.accepted);
    if (takes(manner)) this.state = "data";
    await this.act(manner, "354 go ahead");
  }

  private async takeBody(): Promise<boolean> {
    const early = this.mannerAt("body", this.accepted);
    if (early !== undefined && this.buffer.length > 0) {
      this.state = "dead";
      await this.act(early, "");
      return false;
    }
    const isEmpty = this.buffer.subarray(0, 3).equals(Buffer.from(".\r\n"));
    const end = isEmpty ? 0 : this.buffer.indexOf("\r\n.\r\n") + 2;
    if (!isEmpty && end === 1) return false;
    const stuffed = this.buffer.subarray(0, end).toString("latin1");
    this.buffer = this.buffer.subarray(end + 3);
    this.state = "command";
    const plain = stuffed.replace(/^\.\./, ".").replace(/\r\n\.\./g, "\r\n.");
    await this.keep(Buffer.from(plain, "latin1"));
    return true;
  }

  private async keep(body: Buffer): Promise<void> {
    const { options, messages, number } = this.around;
    const { sender = "", secure, login, accepted } = this;
    this.clear();
    const each = options.protocol === "LMTP" ? accepted.map((one) => [one]) : [accepted];
    const taken = each.filter((group) => takes(this.mannerAt("final", group))).flat();
    if (taken.length > 0) {
      messages.push({ sender, recipients: taken, body, secure, session: number, login });
    }
    for (const group of each) {
      if (this.state !== "command") return;
      await this.act(this.mannerAt("final", group), `250 2.0.0 kept as ${messages.length}`);
    }
  }

  private clear(): void {
    this.sender = undefined;
    this.accepted = [];
  }
}
