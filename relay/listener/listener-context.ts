/** What a listener gives to each of its connections: values and the objects that all of them share. */
import type { NameList } from "./certificate-names.ts";
import type { ListenerEvents } from "./events.ts";
import type { ListenerLimits, ReceivingBytes } from "./limits.ts";
import type { Reception } from "./reception.ts";

/** What all connections of a listener share. */
export type ListenerContext = {
  readonly name: string;
  readonly hostname: string;
  readonly reception: Reception;
  readonly limits: ListenerLimits;
  readonly events: ListenerEvents;
  readonly receiving: ReceivingBytes;
  /** Certificates are there: STARTTLS can be offered. */
  readonly startTls: boolean;
  /** A submission listener (RFC 6409): MAIL is for authenticated clients only, after TLS. */
  readonly authentication: "Required" | undefined;
  /** The clients that are known by their certificates, which are then asked for. */
  readonly clientNames: NameList | undefined;
  readonly greetingDelayMs: number;
  /** Resolves after so many ms; keeps no process alive. */
  readonly pause: (ms: number) => Promise<void>;
  stopping: boolean;
};
