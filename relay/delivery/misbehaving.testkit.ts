/**
 * A next hop that misbehaves on demand, for tests: the local part of an address says what happens to
 * it, `[STAGE-]WHAT[-CODE[-STATUS]]`. A recipient's acts at RCPT unless it names the stage data, body
 * or final; the sender's acts at MAIL. WHAT: perm, temp (reply with CODE), say (that CODE, no more),
 * drop (cut off), garbage, endless, hang, slow. "final-perm-554-5.6.0@x", "drop@x", "temp-421@x".
 * Whatever else is accepted and kept in `messages`.
 */
import { createServer, type Server, type Socket } from "node:net";
import { createSecureContext, TLSSocket } from "node:tls";

type Received = {
  readonly sender: string;
  readonly recipients: readonly string[];
  /** As it was before dot-stuffing. */
  readonly body: Buffer;
  readonly secure: boolean;
  readonly session: number;
  readonly login: string | undefined;
};

export type MisbehavingOptions = {
  readonly port?: number;
  readonly protocol?: "SMTP" | "LMTP";
  /** EHLO keywords; STARTTLS and AUTH come with `tls` and `logins`. */
  readonly extensions?: readonly string[];
  /** At connect, at EHLO or LHLO, at STARTTLS, at AUTH, at RSET: like a local part, "perm-554-5.7.1". */
  readonly banner?: string;
  readonly ehlo?: string;
  readonly startTls?: string;
  readonly auth?: string;
  readonly rset?: string;
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa?: string };
  /** After "220 go ahead": talk nonsense, or say nothing at all. */
  readonly handshake?: "garbage" | "hang";
  /** "user:password". */
  readonly logins?: readonly string[];
  /** "user token" each: AUTH XOAUTH2. */
  readonly bearers?: ReadonlySet<string>;
  /** false: AUTH LOGIN only. */
  readonly plain?: boolean;
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
  /** Cuts all connections off without a word. */
  dropAll(): void;
  /** Says this on all connections, unasked. */
  sayAll(text: string): void;
  close(): Promise<void>;
};

type Manner = { stage: string; what: string; code: number; status: string };

const defaultExtensions = [
  "PIPELINING",
  "SIZE 52428800",
  "8BITMIME",
  "SMTPUTF8",
  "ENHANCEDSTATUSCODES",
];
const manners =
  /^(?:(data|body|final)-)?(perm|temp|say|drop|garbage|endless|hang|slow)(?:-(\d{3}))?(?:-(\d\.\d{1,3}\.\d{1,3}))?(?:[.+-].*)?$/;

function mannerOf(text: string): Manner | undefined {
  const match = manners.exec(text);
  if (match === null) return undefined;
  const [, stage = "", what = "", code, status] = match;
  const plain = what === "temp" ? 451 : 550;
  const number = Number(code ?? plain);
  return { stage, what, code: number, status: status ?? `${Math.floor(number / 100)}.0.0` };
}

export async function misbehaving(options: MisbehavingOptions = {}): Promise<Misbehaving> {
  const messages: Received[] = [];
  const commands: string[] = [];
  const open = new Set<Session>();
  let count = 0;
  let sessionsMax = Number.POSITIVE_INFINITY;
  const server: Server = createServer({ noDelay: true }, (socket) => {
    if (open.size >= sessionsMax) {
      socket.on("error", () => {}).end("421 4.7.0 too many connections\r\n");
      return;
    }
    const session = new Session({ options, messages, commands, number: ++count, socket });
    open.add(session);
    socket.on("close", () => open.delete(session));
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    messages,
    commands,
    sessions: () => count,
    limitSessions: (max) => {
      sessionsMax = max;
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
  private recipients: string[] = [];
  private accepted: string[] = [];
  private busy: Promise<void> = Promise.resolve();

  constructor(around: Surroundings) {
    this.around = around;
    this.socket = around.socket;
    this.listen();
    this.act(mannerOf(around.options.banner ?? ""), "220 misbehaving.test ready");
  }

  write(text: string): void {
    if (!this.socket.destroyed) this.socket.write(text);
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
        if (!this.takeBody()) return;
        continue;
      }
      const end = this.buffer.indexOf("\r\n");
      if (end === -1) return;
      const line = this.buffer.subarray(0, end).toString("utf8");
      this.buffer = this.buffer.subarray(end + 2);
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
    if (verb === "EHLO" || verb === "LHLO") {
      this.act(mannerOf(options.ehlo ?? ""), this.greeting(verb));
    } else if (verb === "HELO") this.act(mannerOf(options.ehlo ?? ""), "250 misbehaving.test");
    else if (verb === "STARTTLS")
      this.act(mannerOf(options.startTls ?? ""), "", () => this.upgrade());
    else if (verb === "AUTH")
      this.act(mannerOf(options.auth ?? ""), "", () => this.authenticate(line));
    else if (verb === "MAIL") this.mail(line);
    else if (verb === "RCPT") await this.rcpt(line);
    else if (verb === "DATA") this.data();
    else if (verb === "RSET") {
      this.clear();
      this.act(mannerOf(options.rset ?? ""), "250 2.0.0 ok");
    } else if (verb === "QUIT") {
      this.write("221 2.0.0 bye\r\n");
      this.socket.end();
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
  private act(manner: Manner | undefined, reply: string, otherwise?: () => void): void {
    if (manner === undefined || manner.what === "slow") {
      if (otherwise === undefined) this.write(`${reply}\r\n`);
      else otherwise();
      return;
    }
    if (manner.what === "drop") this.drop();
    else if (manner.what === "garbage") this.write("ja bitte?\u0000\r\n");
    else if (manner.what === "endless") this.pour();
    else if (manner.what === "hang") this.state = "dead";
    else this.refuse(manner);
  }

  private refuse({ code, status, what }: Manner): void {
    this.write(`${code} ${status} as you asked: ${what}\r\n`);
    if (code === 421) this.socket.end();
  }

  private pour(): void {
    this.state = "dead";
    const line = `250-${"more ".repeat(200)}\r\n`;
    const timer = setInterval(() => this.write(line), 1);
    this.socket.on("close", () => clearInterval(timer));
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
      this.write("this is not a ServerHello");
      return;
    }
    if (handshake === "hang") return;
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

  private mail(line: string): void {
    if (this.sender !== undefined) {
      this.write("503 5.5.1 nested MAIL\r\n");
      return;
    }
    const sender = /<(.*)>/.exec(line)?.[1] ?? "";
    const manner = mannerOf(sender.replace(/@[^@]*$/, ""));
    if (manner === undefined) this.sender = sender;
    this.act(manner, "250 2.1.0 ok");
  }

  private async rcpt(line: string): Promise<void> {
    const recipient = /<(.*)>/.exec(line)?.[1] ?? "";
    if (this.sender === undefined) {
      this.write("503 5.5.1 MAIL first\r\n");
      return;
    }
    const manner = mannerOf(recipient.replace(/@[^@]*$/, ""));
    this.recipients.push(recipient);
    const isHere = manner !== undefined && manner.stage === "";
    if (isHere && manner.what === "slow") await new Promise((resolve) => setTimeout(resolve, 100));
    if (!isHere || manner.what === "slow") this.accepted.push(recipient);
    this.act(isHere ? manner : undefined, "250 2.1.5 ok");
  }

  private mannerAt(stage: string, recipients: readonly string[]): Manner | undefined {
    const all = recipients.map((recipient) => mannerOf(recipient.replace(/@[^@]*$/, "")));
    return all.find((manner) => manner?.stage === stage);
  }

  private data(): void {
    if (this.accepted.length === 0) {
      this.write("554 5.5.1 no valid recipients\r\n");
      return;
    }
    const manner = this.mannerAt("data", this.accepted);
    this.act(manner, "", () => {
      this.state = "data";
      this.write("354 go ahead\r\n");
    });
  }

  private takeBody(): boolean {
    const early = this.mannerAt("body", this.accepted);
    if (early !== undefined && this.buffer.length > 0) {
      this.state = "dead";
      this.act(early, "");
      return false;
    }
    const isEmpty = this.buffer.subarray(0, 3).equals(Buffer.from(".\r\n"));
    const end = isEmpty ? 0 : this.buffer.indexOf("\r\n.\r\n") + 2;
    if (!isEmpty && end === 1) return false;
    const stuffed = this.buffer.subarray(0, end).toString("latin1");
    this.buffer = this.buffer.subarray(end + 3);
    this.state = "command";
    this.keep(Buffer.from(stuffed.replace(/^\.\./, ".").replace(/\r\n\.\./g, "\r\n."), "latin1"));
    return true;
  }

  private keep(body: Buffer): void {
    const { options, messages, number } = this.around;
    const { sender = "", secure, login, accepted } = this;
    this.clear();
    const each = options.protocol === "LMTP" ? accepted.map((one) => [one]) : [accepted];
    const taken = each.filter((group) => this.mannerAt("final", group) === undefined).flat();
    if (taken.length > 0) {
      messages.push({ sender, recipients: taken, body, secure, session: number, login });
    }
    for (const group of each) {
      if (this.state !== "command") return;
      this.act(this.mannerAt("final", group), `250 2.0.0 kept as ${messages.length}`);
    }
  }

  private clear(): void {
    this.sender = undefined;
    this.recipients = [];
    this.accepted = [];
  }
}
