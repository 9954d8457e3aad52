/**
 * Reads a mailbox back as mail programs do, octet by octet: IMAP (RFC 9051) over TLS and POP3 (RFC 1939) in clear
 * text, just as far as a test needs them. Rejects with the server's words where it refuses.
 */
import { connect, type Socket } from "node:net";
import { connect as tlsConnect } from "node:tls";

export type Account = {
  readonly port: number;
  readonly user: string;
  readonly password: string;
};

const answerMsMax = 10_000;
const crlf = Buffer.from("\r\n");

/** Whole messages, in the order of the mailbox. */
export async function readByImap(account: Account & { readonly ca: string }): Promise<Buffer[]> {
  const { port, user, password, ca } = account;
  const wire = new Wire(tlsConnect({ port, host: "127.0.0.1", ca }));
  const messages: Buffer[] = [];
  const command = async (tag: string, text: string): Promise<void> => {
    wire.send(`${tag} ${text}\r\n`);
    for (;;) {
      const line = await wire.line();
      const literal = /^\* \d+ FETCH .*BODY\[\] \{(\d+)\}$/.exec(line);
      if (literal !== null) messages.push(await wire.octets(Number(literal[1])));
      if (!line.startsWith(`${tag} `)) continue;
      if (line.startsWith(`${tag} OK`)) return;
      throw new Error(`IMAP: ${text}: ${line}`);
    }
  };
  try {
    await wire.line();
    await command("a1", `LOGIN "${user}" "${password}"`);
    await command("a2", "SELECT INBOX");
    await command("a3", "UID FETCH 1:* (BODY.PEEK[])");
    await command("a4", "LOGOUT");
    return messages;
  } finally {
    wire.close();
  }
}

export async function readByPop3({ port, user, password }: Account): Promise<Buffer[]> {
  const wire = new Wire(connect(port, "127.0.0.1"));
  const command = async (text: string): Promise<string> => {
    if (text !== "") wire.send(`${text}\r\n`);
    const line = await wire.line();
    if (!line.startsWith("+OK")) throw new Error(`POP3: ${text}: ${line}`);
    return line;
  };
  try {
    await command("");
    await command(`USER ${user}`);
    await command(`PASS ${password}`);
    const count = Number(/^\+OK (\d+)/.exec(await command("STAT"))?.[1]);
    const messages: Buffer[] = [];
    for (let number = 1; number <= count; number += 1) {
      await command(`RETR ${number}`);
      messages.push(await wire.untilDot());
    }
    await command("QUIT");
    return messages;
  } finally {
    wire.close();
  }
}

class Wire {
  readonly #socket: Socket;
  #waiting: Buffer = Buffer.alloc(0);
  #wake: (() => void) | undefined;
  #end: Error | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setTimeout(answerMsMax, () => socket.destroy(new Error("no answer")));
    socket.on("data", (chunk: Buffer) => {
      this.#waiting = Buffer.concat([this.#waiting, chunk]);
      this.#wake?.();
    });
    const ended = (error?: Error): void => {
      this.#end ??= error ?? new Error("the server has closed the connection");
      this.#wake?.();
    };
    socket.on("error", ended);
    socket.on("end", () => ended());
    socket.on("close", () => ended());
  }

  send(text: string): void {
    this.#socket.write(text, "utf8");
  }

  /** Without its CRLF, as latin1. */
  async line(): Promise<string> {
    return (await this.#rawLine()).toString("latin1");
  }

  async octets(count: number): Promise<Buffer> {
    while (this.#waiting.length < count) await this.#more();
    return this.#take(count);
  }

  /** A POP3 answer of several lines (RFC 1939 section 3), the dots before dots taken away. */
  async untilDot(): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for (;;) {
      const line = await this.#rawLine();
      if (line.length === 1 && line[0] === 0x2e) return Buffer.concat(pieces);
      pieces.push(line[0] === 0x2e ? line.subarray(1) : line, crlf);
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  async #rawLine(): Promise<Buffer> {
    let end = this.#waiting.indexOf(crlf);
    while (end < 0) {
      await this.#more();
      end = this.#waiting.indexOf(crlf);
    }
    const line = this.#take(end);
    this.#take(crlf.length);
    return line;
  }

  #take(count: number): Buffer {
    const taken = this.#waiting.subarray(0, count);
    this.#waiting = this.#waiting.subarray(count);
    return taken;
  }

  async #more(): Promise<void> {
    if (this.#end !== undefined) throw this.#end;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }
}
