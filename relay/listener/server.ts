/**
 * A listener: one port that receives mail. Owns the server socket, the set of connections, and the
 * one timer that looks at all their clocks. The protocol is in dialogue.ts, policy behind `Reception`.
 */

import type { AddressInfo, Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { SecureContext, TLSSocket } from "node:tls";
import { SMTPServer } from "smtp-server";
import type { SMTPConnectionOptions } from "smtp-server/lib/smtp-connection.js";
import type { NetworkSet } from "../../routing/network.ts";
import type { NameList } from "./certificate-names.ts";
import { Connection } from "./connection.ts";
import type { ListenerEvents } from "./events.ts";
import { Admission, type ListenerLimits, ReceivingBytes } from "./limits.ts";
import type { ListenerContext } from "./listener-context.ts";
import { peerAddress } from "./peer.ts";
import type { Forwarded } from "./proxy-header.ts";
import { type ProxyResult, readProxyHeader } from "./proxy-reader.ts";
import type { Reception } from "./reception.ts";
import { newSessionId } from "./session-id.ts";
import { type Certificates, ContextMap } from "./tls-context.ts";

export type ListenerOptions = {
  /** As configured: "smtp", "submission" ...; goes into `Client.listener`. */
  readonly name: string;
  readonly host: string;
  /** 0 takes any free port, see `address()`. */
  readonly port: number;
  /** The name in the greeting and the answer to EHLO. */
  readonly hostname: string;
  /** Without it STARTTLS is not offered. */
  readonly tls?: Certificates;
  /** TLS from the first byte (port 465); needs `tls`. */
  readonly implicitTls?: true;
  /** Asks for clients' certificates; needs `tls` with a CA. Whoever has none of these names is anybody. */
  readonly clientNames?: NameList;
  /** Refuses MAIL of clients that have neither authenticated nor a listed certificate, as submission listeners do; needs `tls`. */
  readonly authentication?: "Required";
  /**
   * Makes it a PROXY twin: connections are taken from these only, and only with a PROXY header. A listener
   * without never reads one.
   */
  readonly balancers?: NetworkSet;
  readonly reception: Reception;
  readonly limits: ListenerLimits;
  readonly events: ListenerEvents;
  /** Waits before the greeting and refuses who talks meanwhile; 0, the default, greets at once. */
  readonly greetingDelayMs?: number;
  /** The memory that messages in arrival share, where several listeners share it. */
  readonly receiving?: ReceivingBytes;
};

export interface Listener {
  /** Resolves when connections are taken; rejects when the port cannot be had. */
  listen(): Promise<void>;
  /** Where it listens; throws before `listen` has resolved. */
  address(): AddressInfo;
  /**
   * Takes no more connections, sends idle sessions off with 421, lets messages in arrival finish,
   * and destroys what is left after `graceMs`. Resolves when every connection is closed.
   */
  stop(options: { readonly graceMs: number }): Promise<void>;
  /** Open connections. */
  readonly connections: number;
  /** Accepted, and still before their PROXY header or the end of their TLS handshake. */
  readonly pending: number;
}

/** Makes a listener that does not listen yet. */
export function createListener(options: ListenerOptions): Listener {
  const needsTls = options.implicitTls === true || options.authentication === "Required";
  if (needsTls && options.tls === undefined) {
    throw new TypeError(
      `listener ${options.name}: implicit TLS and authentication need certificates`,
    );
  }
  const server = new ListenerServer(options);
  return {
    listen: () => server.start(),
    address: () => server.address(),
    stop: ({ graceMs }) => server.stop(graceMs),
    get connections() {
      return server.live.size;
    },
    get pending() {
      return server._pendingSockets.size;
    },
  };
}

type HeaderCallback = (
  error: Error | null,
  options?: SMTPConnectionOptions & { id: string },
) => void;

/** The ends of the connection as if the client had connected itself. */
function endsOf({ source, destination }: Forwarded): Omit<SMTPConnectionOptions, "id"> {
  return {
    remoteAddress: source.address,
    remotePort: source.port,
    localAddress: destination.address,
    localPort: destination.port,
  };
}

/** How often clocks are looked at: often enough for short limits, rarely enough to cost nothing. */
const SWEEP_MS_MAX = 1000;
const SWEEP_MS_MIN = 10;

class ListenerServer extends SMTPServer {
  readonly live = new Set<Connection>();
  readonly #options: ListenerOptions;
  readonly #context: ListenerContext;
  readonly #admission: Admission;
  #sweep: NodeJS.Timeout | undefined;
  #lastGone: () => void = () => undefined;

  constructor(options: ListenerOptions) {
    super({
      logger: false,
      secure: options.implicitTls === true,
      // Replies still owed go out to a client that has closed its side.
      allowHalfOpen: true,
      maxClients: options.limits.connectionsMax,
      socketTimeout: options.limits.idleMsMax,
      requestCert: options.clientNames !== undefined,
      rejectUnauthorized: false,
    });
    const implicitTls = options.implicitTls === true;
    this.#options = options;
    this.#admission = new Admission(options.limits);
    this.#context = {
      name: options.name,
      hostname: options.hostname,
      reception: options.reception,
      limits: options.limits,
      events: options.events,
      receiving: options.receiving ?? new ReceivingBytes(options.limits),
      startTls: options.tls !== undefined && !implicitTls,
      authentication: options.authentication,
      clientNames: options.clientNames,
      greetingDelayMs: options.greetingDelayMs ?? 0,
      pause: async (ms) => await sleep(ms, undefined, { ref: false }),
      stopping: false,
    };
    this.secureContext = new ContextMap(options.tls);
    this.on("error", (error: Error) => {
      // Before it listens, `listen` rejects with it.
      if (this.#sweep === undefined) return;
      options.events.failed(error, implicitTls ? "tls" : "listener");
    });
  }

  start(): Promise<void> {
    const { host, port, limits } = this.#options;
    const shortest = Math.min(limits.idleMsMax, limits.sessionMsMax);
    const sweepMs = Math.min(Math.max(shortest / 4, SWEEP_MS_MIN), SWEEP_MS_MAX);
    return new Promise((resolve, reject) => {
      this.server.once("error", reject);
      this.server.listen({ host, port }, () => {
        this.server.off("error", reject);
        this.#sweep = setInterval(() => this.#lookAtClocks(), sweepMs).unref();
        resolve();
      });
    });
  }

  address(): AddressInfo {
    const address = this.server.address();
    if (address === null || typeof address === "string") {
      throw new TypeError(`listener ${this.#options.name} does not listen`);
    }
    return address;
  }

  stop(graceMs: number): Promise<void> {
    this.#context.stopping = true;
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    // The server socket counts a connection out before the session has been told.
    const gone = new Promise<void>((resolve) => {
      this.#lastGone = resolve;
      if (this.live.size === 0) resolve();
    });
    for (const socket of this._pendingSockets.values()) socket.destroy();
    for (const connection of this.live) connection.retire();
    const cut = setTimeout(() => {
      for (const connection of this.live) connection.destroy();
    }, graceMs);
    return Promise.all([closed, gone]).then(() => {
      clearTimeout(cut);
      clearInterval(this.#sweep);
    });
  }

  // What the base class asks for.

  override connect(socket: Socket, options?: SMTPConnectionOptions | null): void {
    const connection: Connection = new Connection({
      server: this,
      socket,
      origin: options ?? { id: newSessionId() },
      balancer: this.#options.balancers && peerAddress(socket.remoteAddress),
      context: this.#context,
      admission: this.#admission,
      gone: () => {
        this.live.delete(connection);
        if (this.live.size === 0) this.#lastGone();
      },
    });
    this.live.add(connection);
    connection.init();
  }

  /** At a twin, sockets are kept among the pending ones until their header is read. */
  override _expectsProxyHeader(): boolean {
    return this.#options.balancers !== undefined;
  }

  override _acceptSocket(socket: Socket, handshake: boolean): (() => void) | false {
    const { balancers } = this.#options;
    if (balancers === undefined) return super._acceptSocket(socket, handshake);
    const address = peerAddress(socket.remoteAddress);
    if (!balancers.has(address)) {
      socket.on("error", () => undefined).destroy();
      // Without an address it has gone already.
      if (address !== "") this.#tellProxy(address, "stranger", "not one of the listed balancers");
      return false;
    }
    const release = super._acceptSocket(socket, handshake);
    if (release === false) {
      this.#tellProxy(address, "crowded", "too many wait for their headers");
    }
    return release;
  }

  override _handleProxy(socket: Socket, callback: HeaderCallback): void {
    const id = newSessionId();
    if (this.#options.balancers === undefined) {
      callback(null, { id });
      return;
    }
    const address = peerAddress(socket.remoteAddress);
    readProxyHeader(socket, this.#options.limits.proxyHeaderMsMax, (read) => {
      const text = "text" in read ? read.text : undefined;
      this.#tellProxy(address, read.result, text);
      if (text !== undefined) callback(new Error(text));
      else callback(null, { id, ...(read.result === "forwarded" && endsOf(read.forwarded)) });
    });
  }

  override _upgrade(
    socket: Socket,
    callback: (error: Error | null, tlsSocket?: TLSSocket) => void,
  ): void {
    try {
      super._upgrade(socket, callback);
    } catch (error) {
      callback(error instanceof Error ? error : new Error(String(error)));
    }
  }

  override _resolveSNI(
    servername: string,
    callback: (error: Error | null, context?: SecureContext) => void,
  ): void {
    try {
      callback(null, this.#options.tls?.context(servername));
    } catch (error) {
      callback(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** The base class would load its built-in key here. */
  override updateSecureContext(): void {
    this.secureContext = new Map();
  }

  override onSecure(_socket: unknown, _session: unknown, callback: () => void): void {
    callback();
  }

  #tellProxy(address: string, result: ProxyResult, text?: string): void {
    const { name, events } = this.#options;
    events.proxy({ listener: name, address, result, ...(text !== undefined && { text }) });
  }

  #lookAtClocks(): void {
    const now = performance.now();
    for (const connection of this.live) connection.sweep(now);
  }
}
