/**
 * From a client's commands to a message on disk and in the queue: the listener's other half. Loop: trust,
 * admission and loop rules are decided by pure functions; here they are asked in order, and 250 is given
 * only after the spool has synced.
 */
import { isAscii } from "node:buffer";
import { type Address, formatAddress, parseAddress } from "../../routing/address.ts";
import type { NetworkSet } from "../../routing/network.ts";
import type { Retry } from "../../routing/route.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import type { Identity, Standing } from "../auth/identity.ts";
import { headerBlock } from "../delivery/header.ts";
import type { RecipientDsn } from "../dsn-request.ts";
import { free } from "../free.ts";
import { networkOf } from "../listener/limits.ts";
import type {
  Body,
  Client,
  ClientInput,
  Greeting,
  MailCommand,
  RcptCommand,
  Reception,
  Transaction,
} from "../listener/reception.ts";
import type { Reply } from "../outcome.ts";
import { type Admission, admit, type RefusalReason } from "../policy/admit.ts";
import {
  authorsRefusal,
  envelopeRefusal,
  type Submitter,
  submitterOf,
} from "../policy/submitter.ts";
import { isTrusted, type TrustRules } from "../policy/trust.ts";
import type { Queue } from "../queue/queue.ts";
import { checksum, type Envelope } from "../spool/records.ts";
import type { Spool } from "../spool/spool.ts";
import { isFull, SpoolError } from "../spool/spool-error.ts";
import type { ActiveTable, TableHolder } from "../table/holder.ts";
import { type BodyFault, faultOf, headFirst } from "./body.ts";
import type { ReceptionEvents } from "./events.ts";
import { dateTime, receivedLine, traceOf } from "./header.ts";
import { type Mending, mendHeader } from "./mend-header.ts";
import { messageRates } from "./message-rates.ts";

export type ReceptionLimits = {
  readonly receivedLinesMax: number;
  readonly passesMax: number;
  readonly headerBytesMax: number;
  readonly messageBytesMax: number;
  readonly messagesPerClientMinuteMax: number;
};

export type ReceptionOptions = {
  readonly hostname: string;
  /** Marks our own Received lines. */
  readonly mark: string;
  readonly postmaster: string;
  readonly trust: TrustRules;
  readonly deniedNetworks: NetworkSet;
  /** Undefined: nobody can authenticate. */
  readonly authenticator: Authenticator | undefined;
  /** Authenticated clients' addresses and names stay out of Received. */
  readonly hideAuthenticated: boolean;
  /** A client begins its first transaction. */
  readonly began: (client: Client) => void;
  readonly outboundRetry: Retry;
  readonly limits: ReceptionLimits;
  readonly tables: TableHolder;
  readonly spool: Spool;
  readonly queue: Queue;
  readonly events: ReceptionEvents;
  readonly nextId: () => string;
  readonly now: () => number;
};

const noRoom: Reply = { code: 452, status: "4.3.1", text: "no room for new mail, try again later" };
const noTable: Reply = { code: 451, status: "4.3.0", text: "no route table yet, try again" };
const badSender: Reply = { code: 501, status: "5.1.7", text: "bad sender address syntax" };
const tooEarly: Reply = {
  code: 554,
  status: "5.5.0",
  text: "the message came before 354: wait for the answer to DATA (RFC 2920 3.1)",
};
const denied: Reply = { code: 554, status: "5.7.1", text: "your network is not served here" };

export function createReception(options: ReceptionOptions): Reception {
  const { authenticator } = options;
  const tooMany = messageRates(options);
  const known = new WeakSet<Client>();
  // Decided once for all messages after one EHLO or AUTH.
  const trust = new WeakMap<Greeting, boolean>();
  const trusts = (client: Client, greeting: Greeting): boolean => {
    const decided = trust.get(greeting);
    if (decided !== undefined) return decided;
    if (!known.has(client)) options.began(client);
    known.add(client);
    const { identity, tls } = greeting;
    const origin = { ...client, clientName: tls?.clientName };
    const trusted = identity !== undefined || isTrusted(origin, options.trust);
    trust.set(greeting, trusted);
    return trusted;
  };
  return {
    authenticate:
      authenticator &&
      (async (client, credentials) => {
        const verdict = await authenticator.check(credentials, networkOf(client.address));
        options.events.authenticated({ client, credentials, verdict });
        return verdict;
      }),
    identify(client, login) {
      const answer = (standing: Standing): Identity | Reply => {
        if (standing.kind === "holds") return standing.identity;
        const text = `your login is over, as ${standing.why}: log in again`;
        const reply: Reply = { code: 421, status: "4.7.0", text };
        options.events.refused({ client, reason: "login", reply });
        return reply;
      };
      const standing = login.standing();
      return standing instanceof Promise ? standing.then(answer) : answer(standing);
    },
    connect(client) {
      if (options.deniedNetworks.has(client.address)) {
        options.events.refused({ client, reason: "denied-network", reply: denied });
        return denied;
      }
      return undefined;
    },
    mail(client, greeting, command) {
      const table = options.tables.current;
      if (table === undefined) return noTable;
      const sender =
        command.path === "" ? undefined : parseAddress(command.path, { utf8: command.smtputf8 });
      if (command.path !== "" && sender === undefined) {
        options.events.refused({
          client,
          reason: "syntax",
          reply: badSender,
          sender: command.path,
        });
        return badSender;
      }
      if (!options.spool.hasRoom(command.size ?? 0)) {
        options.events.refused({ client, reason: "room", reply: noRoom, sender: command.path });
        return noRoom;
      }
      const { identity } = greeting;
      const submitter = identity && submitterOf(identity, table);
      const refusal = submitter && envelopeRefusal(submitter, sender);
      if (refusal !== undefined) {
        options.events.refused({ client, reason: "sender", reply: refusal, sender: command.path });
        return refusal;
      }
      const trusted = trusts(client, greeting);
      const early = tooMany({ client, trusted, submitter, relays: table.relays });
      if (early !== undefined) {
        options.events.refused({ client, reason: "rate", reply: early, sender: command.path });
        return early;
      }
      const common = { ...options, table, client, greeting, command, sender, trusted, submitter };
      return new MailTransaction(common);
    },
    closed() {},
  };
}

type TransactionOptions = ReceptionOptions & {
  readonly table: ActiveTable;
  readonly client: Client;
  readonly greeting: Greeting;
  readonly command: MailCommand;
  readonly sender: Address | undefined;
  readonly trusted: boolean;
  readonly submitter: Submitter | undefined;
};

type Admitted = Extract<Admission, { ok: true }> & { readonly dsn: RecipientDsn };

class MailTransaction implements Transaction {
  readonly accepted: Reply = { code: 250, status: "2.1.0", text: "sender ok" };
  readonly #options: TransactionOptions;
  readonly #recipients: Admitted[] = [];
  readonly #seen = new Set<string>();

  constructor(options: TransactionOptions) {
    this.#options = options;
  }

  rcpt(command: RcptCommand): Reply {
    const { table, stale, incomplete = false } = this.#options.table;
    const { trusted, sender, postmaster } = this.#options;
    const utf8 = this.#options.command.smtputf8;
    const { path } = command;
    const doubts = { stale, incomplete };
    const admission = admit({ table, ...doubts, trusted, sender, path, utf8, postmaster });
    if (!admission.ok) return this.#refused(admission.reason, admission.reply, path);
    // A recipient named twice gets the message once (RFC 5321 section 4.5.3.1.8 leaves it open).
    if (!this.#seen.has(admission.address)) {
      this.#seen.add(admission.address);
      this.#recipients.push({ ...admission, dsn: command.dsn });
    }
    return { code: 250, status: "2.1.5", text: "recipient ok" };
  }

  data({ input }: { readonly input: ClientInput }): Reply | undefined {
    if (input === "early" && !this.#options.trusted) return this.#refused("pipelining", tooEarly);
    if (this.#recipients.length > 0) return undefined;
    return { code: 554, status: "5.5.1", text: "no valid recipients" };
  }

  async message(received: Body): Promise<Reply> {
    const options = this.#options;
    const faulty = faultOf(received);
    if (faulty !== undefined && !options.trusted)
      return this.#refused(faulty === "leading space" ? "header" : "line-endings", unfit(faulty));
    if (faulty !== undefined) options.events.normalised({ client: options.client, fault: faulty });
    const [head = empty, ...rest] = headFirst(received, faulty);
    const bytes = rest.reduce((sum, chunk) => sum + chunk.length, head.length);
    if (bytes > options.limits.messageBytesMax) {
      const text = "Message too big with its line endings mended";
      return this.#refused("size", { code: 552, status: "5.3.4", text });
    }
    if (headerBlock(head, head.length).length > options.limits.headerBytesMax) {
      const text = `header section of more than ${options.limits.headerBytesMax} octets`;
      return this.#refused("header", { code: 554, status: "5.6.0", text });
    }
    const id = options.nextId();
    const nowMs = options.now();
    const body = Buffer.concat([
      Buffer.from(this.#receivedLine(id, nowMs)),
      ...mendHeader(head, this.#mending(id, nowMs)),
      ...rest,
    ]);
    free(rest);
    const trace = traceOf(body, options.mark);
    // Our own new line is counted with them.
    if (
      trace.received > options.limits.receivedLinesMax ||
      trace.passes > options.limits.passesMax
    ) {
      return this.#refused("loop", {
        code: 554,
        status: "5.4.6",
        text: "routing loop: too many Received lines",
      });
    }
    if (!options.spool.hasRoom(body.length, this.#recipients.length))
      return this.#refused("room", noRoom);
    const foreign = options.submitter && authorsRefusal(options.submitter, body);
    if (foreign !== undefined) return this.#refused("sender", foreign);
    const envelope = this.#envelope(id, nowMs, body);
    try {
      await options.spool.commit([{ kind: "accept", envelope, body }]);
    } catch (error) {
      if (!(error instanceof SpoolError)) throw error;
      options.events.unwritten(error);
      return this.#refused(
        "disk",
        isFull(error) ? noRoom : { ...noRoom, code: 451, status: "4.3.0" },
      );
    }
    const { client, greeting } = options;
    const { helo, identity } = greeting;
    options.events.accepted({ envelope, client, helo, identity, ms: options.now() - nowMs });
    options.queue.add(envelope, body);
    return { code: 250, status: "2.0.0", text: `queued as ${id}` };
  }

  abort(): void {}

  #refused(reason: RefusalReason, reply: Reply, recipient?: string): Reply {
    const { client, command } = this.#options;
    const to = recipient === undefined ? {} : { recipient };
    this.#options.events.refused({ client, reason, reply, sender: command.path, ...to });
    return reply;
  }

  /** What others say of authentication in our name is believed of trusted networks only. */
  #mending(id: string, nowMs: number): Mending {
    const { greeting, trusted, sender, hostname } = this.#options;
    const isSubmission = greeting.identity !== undefined;
    const submission = {
      sender: sender === undefined ? "" : formatAddress(sender),
      messageId: `${id}@${hostname}`,
      date: dateTime(new Date(nowMs)),
    };
    return {
      forgedAuthority: isSubmission || !trusted ? hostname : undefined,
      submission: isSubmission ? submission : undefined,
    };
  }

  #receivedLine(id: string, nowMs: number): string {
    const { greeting, client, hostname, mark, command } = this.#options;
    const recipient = this.#recipients.length === 1 ? this.#recipients[0]?.address : undefined;
    const base = command.smtputf8 ? "UTF8SMTP" : greeting.esmtp ? "ESMTP" : "SMTP";
    const protocol = base === "SMTP" ? base : `${base}${securityOf(greeting)}`;
    const at = new Date(nowMs);
    const isHidden = greeting.identity !== undefined && this.#options.hideAuthenticated;
    return receivedLine({
      from: isHidden ? undefined : { helo: greeting.helo, address: client.address },
      hostname,
      mark,
      protocol,
      id,
      recipient,
      at,
    });
  }

  #envelope(id: string, nowMs: number, body: Buffer): Envelope {
    const { sender, client, trusted, command, outboundRetry } = this.#options;
    return {
      id,
      session: client.sessionId,
      client: client.address,
      trusted,
      sender: sender === undefined ? "" : formatAddress(sender),
      recipients: this.#recipients.map(({ address, key, route, dsn }) => {
        const retry = route?.retry ?? outboundRetry;
        return {
          address,
          key,
          expiresAtMs: nowMs + retry.expireAfterMs,
          warnAtMs: nowMs + retry.delayWarningAfterMs,
          ...dsn,
        };
      }),
      arrivedAtMs: nowMs,
      bytes: body.length,
      crc: checksum(body),
      eightBit: command.eightBit || !isAscii(body),
      smtputf8: command.smtputf8,
      ...command.dsn,
    };
  }
}

/** RFC 3848: S for TLS, A for authentication, in this order. */
function securityOf({ tls, identity }: Greeting): "" | "S" | "A" | "SA" {
  if (tls === undefined) return identity === undefined ? "" : "A";
  return identity === undefined ? "S" : "SA";
}

const empty = Buffer.alloc(0);
/** Whatever two programs might read differently is not taken from strangers. */
function unfit(fault: BodyFault): Reply {
  const text =
    fault === "leading space"
      ? "the message begins with a space or tab, as if its first line continued another (RFC 5322 2.2.3)"
      : `${fault} in the message: lines end with CRLF and nothing else (RFC 5321 2.3.8)`;
  return { code: 550, status: "5.6.0", text };
}
