/**
 * The listeners of the configuration file, and what they come to: one endpoint for each port, a PROXY twin
 * being one of its own. Pure: a schema, and values in, values out.
 */
import { z } from "zod";
import { parseBlock } from "../../routing/network.ts";
import { network, port } from "./spellings.ts";

/** Of the whole world nobody is a balancer. */
export const balancerSchema = network.refine((text) => parseBlock(text)?.prefix !== 0, {
  error: "would let everyone say who he is: name the balancers' own addresses",
});

const proxyProtocol = z
  .strictObject({
    port: port.describe(
      "The twin's port. What comes there without a PROXY header is closed, and the listener's own port never reads one.",
    ),
    balancers: z
      .array(balancerSchema)
      .min(1, "needs at least one balancer: list the addresses from which they connect")
      .max(256)
      .describe(
        "Addresses or networks from which the balancers connect; everyone else is closed at once. None of them is ever trusted by address.",
      ),
  })
  .describe(
    "A twin of this listener on a port of its own, for balancers that speak the PROXY protocol (version 1 or 2): limits, deniedNetworks and trustedNetworks then see the clients behind them.",
  );

export const listenerSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,30}$/, "must be a short lower-case name, like smtp")
    .describe("In log and metrics; that of its proxyProtocol twin has -proxy behind it."),
  host: z
    .string()
    .default("::")
    .describe(
      "Address to listen on; :: is every address, of IPv4 too, and 0.0.0.0 where the machine has no IPv6.",
    ),
  kind: z
    .enum(["smtp", "submission", "submissions"])
    .default("smtp")
    .describe(
      "smtp takes mail from whoever may send it. Submission listeners ask everybody but clients with a listed certificate to authenticate, submission over STARTTLS (RFC 6409), submissions over TLS from the first byte (RFC 8314); both need `tls`.",
    ),
  port: port
    .optional()
    .describe(
      "Port to listen on; 0 picks a free one. Default 2525 for smtp, 1587 for submission, 1465 for submissions.",
    ),
  trusted: z
    .boolean()
    .default(false)
    .describe("Everyone who reaches this listener is trusted. Guard its port or its Service."),
  proxyProtocol: proxyProtocol.optional(),
});

type ListenerConfig = z.infer<typeof listenerSchema>;

const defaultPorts = { smtp: 2525, submission: 1587, submissions: 1465 } as const;

/** A port that is listened on. */
export type ListenerEndpoint = {
  /** As configured, with "-proxy" behind it for a twin: the name in log and metrics. */
  readonly name: string;
  readonly kind: ListenerConfig["kind"];
  readonly host: string;
  readonly port: number;
  readonly trusted: boolean;
  /** Of a PROXY twin only. */
  readonly balancers?: readonly string[];
};

/** Listeners and their twins, in the order of the file. */
export function endpointsOf(listeners: readonly ListenerConfig[]): readonly ListenerEndpoint[] {
  return listeners.flatMap(({ proxyProtocol: twin, ...given }) => {
    const listener = { ...given, port: given.port ?? defaultPorts[given.kind] };
    if (twin === undefined) return [listener];
    return [listener, { ...listener, ...twin, name: `${listener.name}-proxy` }];
  });
}

/** What no schema says. Each reads "field: what is wrong and the mend". */
export function listenerContradictions(
  listeners: readonly ListenerConfig[],
  tls: object | undefined,
): string[] {
  const found: string[] = [];
  for (const [index, { kind, trusted, proxyProtocol: twin }] of listeners.entries()) {
    if (kind !== "smtp" && tls === undefined) {
      found.push(`listeners.${index}.kind: ${kind} needs a certificate; set tls.certificates`);
    }
    if (kind !== "smtp" && trusted) {
      found.push(
        `listeners.${index}.trusted: ${kind} asks everybody to authenticate; remove it, or make the kind smtp`,
      );
    }
    if (trusted && twin !== undefined) {
      found.push(
        `listeners.${index}.proxyProtocol: would trust everyone whom a balancer brings; remove it, or trusted`,
      );
    }
  }
  const endpoints = endpointsOf(listeners);
  if (new Set(endpoints.map(({ name }) => name)).size < endpoints.length) {
    found.push("listeners: two have the same name; give each its own");
  }
  const places = endpoints.filter((each) => each.port !== 0);
  for (const [index, { host, port: number, name }] of places.entries()) {
    const first = places.slice(0, index).find((each) => each.host === host && each.port === number);
    if (first === undefined) continue;
    found.push(`listeners: ${name} has port ${number} of ${first.name}; give each its own`);
  }
  return found;
}
