/**
 * The listeners of the configuration file, and what they come to: one endpoint for each port, a PROXY twin
 * being one of its own. Pure: a schema, and values in, values out.
 */
import { z } from "zod";
import { parseBlock } from "../../routing/network.ts";
import { network, port } from "./network.ts";

const balancer = network.refine((text) => parseBlock(text)?.prefix !== 0, {
  error: "would let everyone say who he is: name the balancers' own addresses",
});

const proxyProtocol = z
  .strictObject({
    port: port.describe(
      "The twin's port. What comes there without a PROXY header is closed, and the listener's own port never reads one.",
    ),
    balancers: z
      .array(balancer)
      .min(1, "needs at least one balancer: list the addresses from which they connect")
      .max(256)
      .describe(
        "Addresses or networks from which the balancers connect; everyone else is closed at once. None of them is ever trusted by address.",
      ),
  })
  .describe(
    "A twin of this listener on a port of its own, for balancers that speak the PROXY protocol (version 1 or 2): limits, denyNetworks and trustedNetworks then see the clients behind them.",
  );

export const listenerSchema = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,30}$/, "must be a short lower-case name, like smtp"),
  host: z.string().default("::").describe("Address to listen on; :: is every address."),
  port: port.describe("Port to listen on; 0 picks a free one."),
  implicitTls: z.boolean().default(false).describe("TLS from the first byte (submissions)."),
  trusted: z
    .boolean()
    .default(false)
    .describe("Everyone who reaches this listener is trusted. Guard its Service."),
  proxyProtocol: proxyProtocol.optional(),
});

type ListenerConfig = z.infer<typeof listenerSchema>;

/** A port that is listened on. */
export type ListenerEndpoint = {
  /** As configured, with "-proxy" behind it for a twin: the name in log and metrics. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly implicitTls: boolean;
  readonly trusted: boolean;
  /** Of a PROXY twin only. */
  readonly balancers?: readonly string[];
};

/** Listeners and their twins, in the order of the file. */
export function endpointsOf(listeners: readonly ListenerConfig[]): readonly ListenerEndpoint[] {
  return listeners.flatMap(({ proxyProtocol: twin, ...listener }) =>
    twin === undefined
      ? [listener]
      : [listener, { ...listener, ...twin, name: `${listener.name}-proxy` }],
  );
}

/** What no schema says. Each reads "field: what is wrong and the mend". */
export function listenerContradictions(listeners: readonly ListenerConfig[]): string[] {
  const found: string[] = [];
  for (const [index, { trusted, proxyProtocol: twin }] of listeners.entries()) {
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
