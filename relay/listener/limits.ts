/** The bounds of a listener and the counters that several connections share. Units come last in names. */

/** Every bound is inclusive: the value itself is still allowed. */
export type ListenerLimits = {
  /** Announced as SIZE; a longer message is 552 5.3.4. */
  readonly messageBytesMax: number;
  /** Accepted recipients of one message; more are 452 4.5.3. */
  readonly recipientsMax: number;
  /** One command line with its CRLF (RFC 5321 section 4.5.3.1.4 asks for 512); over it 500 5.5.2. */
  readonly commandBytesMax: number;
  /** Commands, accepted RCPTs aside, since the session began or a message was accepted; then 421 4.7.0. */
  readonly commandsPerSessionMax: number;
  /** Protocol errors since the session began or a message was accepted; then 421 4.7.0. */
  readonly errorsMax: number;
  /** Recipients of one session that were refused; then 421 4.7.0. Directories are harvested by asking. */
  readonly refusedRecipientsMax: number;
  /** Age at which a session ends: 421 4.7.0 between transactions, one idle time later even inside one. */
  readonly sessionMsMax: number;
  /** Time for the whole PROXY header, at a PROXY twin; then the connection is closed. */
  readonly proxyHeaderMsMax: number;
  /** Silence while the client owes input, also within a TLS handshake; then 421 4.4.2. */
  readonly idleMsMax: number;
  /** The longest line of a message without its CRLF; over it 554 5.6.0. */
  readonly lineBytesMax: number;
  /** Open connections of this listener; more are 421 4.7.0. */
  readonly connectionsMax: number;
  /** Open connections of one client network: an IPv4 address or an IPv6 /64. */
  readonly connectionsPerClientMax: number;
  /** A message must come at so many bytes a second, over each `dataWindowMs`; else 421 4.4.2. */
  readonly dataBytesPerSecondMin: number;
  readonly dataWindowMs: number;
  /** What one client network may have of `receivingBytesMax`; a message that comes on top is 452 4.3.1. */
  readonly receivingBytesPerClientMax: number;
  /** Bytes in memory of all messages being received; a message that comes on top is 452 4.3.1. */
  readonly receivingBytesMax: number;
};

/** Which bound was met; a closed set, used as a metric label. */
export type LimitName = keyof ListenerLimits;

/** Counts open connections in total and by client network. */
export class Admission {
  #total = 0;
  readonly #byNetwork = new Map<string, number>();
  readonly #limits: ListenerLimits;

  constructor(limits: ListenerLimits) {
    this.#limits = limits;
  }

  /** Counts a connection in, and says which bound it breaks. Every call needs a later `leave`. */
  enter(address: string): LimitName | undefined {
    const network = networkOf(address);
    const count = (this.#byNetwork.get(network) ?? 0) + 1;
    this.#byNetwork.set(network, count);
    this.#total += 1;
    if (this.#total > this.#limits.connectionsMax) return "connectionsMax";
    return count > this.#limits.connectionsPerClientMax ? "connectionsPerClientMax" : undefined;
  }

  leave(address: string): void {
    const network = networkOf(address);
    const count = (this.#byNetwork.get(network) ?? 0) - 1;
    if (count > 0) this.#byNetwork.set(network, count);
    else this.#byNetwork.delete(network);
    this.#total -= 1;
  }
}

/** Bytes in memory of the messages being received, in all and by client network. */
export class ReceivingBytes {
  used = 0;
  readonly #byNetwork = new Map<string, number>();
  readonly #limits: Pick<ListenerLimits, "receivingBytesMax" | "receivingBytesPerClientMax">;

  constructor(limits: Pick<ListenerLimits, "receivingBytesMax" | "receivingBytesPerClientMax">) {
    this.#limits = limits;
  }

  /** Takes `bytes` if they fit; else says which bound they do not fit into. */
  take(network: string, bytes: number): LimitName | undefined {
    const theirs = (this.#byNetwork.get(network) ?? 0) + bytes;
    if (this.used + bytes > this.#limits.receivingBytesMax) return "receivingBytesMax";
    if (theirs > this.#limits.receivingBytesPerClientMax) return "receivingBytesPerClientMax";
    this.used += bytes;
    this.#byNetwork.set(network, theirs);
    return undefined;
  }

  release(network: string, bytes: number): void {
    this.used -= bytes;
    const theirs = (this.#byNetwork.get(network) ?? 0) - bytes;
    if (theirs > 0) this.#byNetwork.set(network, theirs);
    else this.#byNetwork.delete(network);
  }
}

/** The network that a client is counted by: its IPv4 address, or the first 64 bits of IPv6. */
export function networkOf(address: string): string {
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.split("%", 1)[0]?.split("::") ?? [];
  const front = head === "" ? [] : head.split(":");
  const back = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : 8 - front.length - back.length;
  const groups = [...front, ...Array<string>(Math.max(zeros, 0)).fill("0"), ...back];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":")}::/64`;
}
