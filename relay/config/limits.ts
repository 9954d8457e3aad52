/**
 * Every limit of the relay that somebody may want to turn, with its unit last in its name, its default and
 * its bounds. Those that nobody needs to turn stand as named constants in the file that keeps them.
 */
import { z } from "zod";

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;
const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;

function whole(fallback: number, min: number, max: number, says: string) {
  return z
    .int(`must be a whole number from ${min} to ${max}`)
    .min(min, `must be at least ${min}`)
    .max(max, `must be at most ${max}`)
    .default(fallback)
    .describe(says);
}

export const receivingLimitsSchema = z.strictObject({
  messageBytesMax: whole(
    50 * MiB,
    64 * KiB,
    1 * GiB,
    "Largest message taken; announced as SIZE, answered 552 beyond.",
  ),
  recipientsMax: whole(1000, 100, 50_000, "Recipients of one message; 452 4.5.3 beyond."),
  commandBytesMax: whole(
    12_288,
    512,
    65_536,
    "Longest command line, or line of an AUTH exchange (RFC 4954 section 4); 500 5.5.2 beyond.",
  ),
  lineBytesMax: whole(
    1 * MiB,
    998,
    64 * MiB,
    "Longest line of a message; longer than 998 passes unchanged, 554 5.6.0 beyond this.",
  ),
  commandsPerSessionMax: whole(100_000, 100, 100_000_000, "Commands of one session; then 421."),
  errorsMax: whole(20, 1, 10_000, "Refused or unknown commands of one session; then 421."),
  refusedRecipientsMax: whole(
    100,
    1,
    1_000_000,
    "Recipients of one session refused for good (5xx); then 421.",
  ),
  sessionMsMax: whole(
    24 * hour,
    1 * minute,
    30 * 24 * hour,
    "Age at which a session ends with 421.",
  ),
  proxyHeaderMsMax: whole(
    5 * second,
    500,
    1 * minute,
    "Time for the PROXY header at a listener's proxyProtocol port; then the connection is closed.",
  ),
  idleMsMax: whole(5 * minute, 1 * second, 1 * hour, "Silence after which a session ends, 421."),
  connectionsMax: whole(5000, 1, 200_000, "Connections at once; then 421 at connect."),
  connectionsPerClientMax: whole(1000, 1, 200_000, "Connections at once from one client address."),
  receivingBytesMax: whole(
    256 * MiB,
    1 * MiB,
    64 * GiB,
    "Bytes in memory of all messages being received; 452 4.3.1 beyond.",
  ),
  receivingBytesPerClientMax: whole(
    128 * MiB,
    64 * KiB,
    64 * GiB,
    "What one client address (IPv6: /64) may have of receivingBytesMax; 452 4.3.1 beyond.",
  ),
  dataBytesPerSecondMin: whole(
    64,
    0,
    1 * GiB,
    "How fast a message must come, over each dataWindowMs; slower ones end with 421.",
  ),
  dataWindowMs: whole(
    1 * minute,
    1 * second,
    1 * hour,
    "Over what time a message's speed is taken.",
  ),
  headerBytesMax: whole(
    256 * KiB,
    4 * KiB,
    1 * MiB,
    "Largest header section of a message; 554 5.6.0 beyond.",
  ),
  messagesPerClientMinuteMax: whole(
    600,
    1,
    10_000_000,
    "Messages in a minute from one client address (IPv6: /64) that is neither trusted nor authenticated; 450 4.7.1 beyond. Of each relay.",
  ),
  receivedLinesMax: whole(50, 5, 1000, "Received lines at which a message is in a loop, 5.4.6."),
  passesMax: whole(8, 1, 100, "Passes of one message through this installation before 5.4.6."),
});

export const spoolLimitsSchema = z.strictObject({
  bytesMax: whole(
    10 * GiB,
    1 * MiB,
    4096 * GiB,
    "Bytes of mail on disk; new mail gets 452 4.3.1 beyond.",
  ),
  messagesMax: whole(1_000_000, 10, 50_000_000, "Messages on disk; 452 4.3.1 beyond."),
  freeBytesMin: whole(
    64 * MiB,
    0,
    1024 * GiB,
    "Free space on the volume below which new mail gets 452.",
  ),
});

export const queueLimitsSchema = z.strictObject({
  activeMax: whole(1000, 1, 100_000, "Transactions with next hops at once."),
  activePerDestinationMax: whole(20, 1, 10_000, "Transactions at once with one destination."),
  bodyBytesInMemoryMax: whole(
    64 * MiB,
    0,
    64 * GiB,
    "Bodies kept in memory for their first attempt; others are read from disk.",
  ),
});

export const deliveryLimitsSchema = z.strictObject({
  connectionsMax: whole(1000, 1, 100_000, "Connections to all next hops at once."),
  connectionsPerHopMax: whole(20, 1, 10_000, "Connections to one host, unless its route says."),
  messagesPerConnectionMax: whole(1000, 1, 1_000_000, "Messages over one connection."),
  idleMsMax: whole(30 * second, 100, 1 * hour, "How long an unused connection is kept."),
  connectMsMax: whole(30 * second, 100, 10 * minute, "Time for a TCP connection."),
  greetingMsMax: whole(5 * minute, 100, 1 * hour, "Time for the banner (RFC 5321 4.5.3.2.1)."),
  commandMsMax: whole(
    5 * minute,
    100,
    1 * hour,
    "Time for the answer to a command; of it at most 1 min for a TLS handshake and 2 min for DATA.",
  ),
  dataMsMax: whole(10 * minute, 100, 1 * hour, "Time for the answer to a whole message."),
});
