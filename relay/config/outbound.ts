/** What rule 5 means here, as a route like any other: by MX of the recipient's domain. Pure. */
import type { Route, RouteId } from "../../routing/route.ts";
import type { Config } from "./config.ts";

/** No MailRoute can have this id: theirs have a slash. */
export const outboundRouteId = "outbound" as RouteId;

export function outboundRoute(config: Pick<Config, "outbound" | "retry">): Route {
  return {
    id: outboundRouteId,
    generation: 0,
    access: "Trusted",
    target: { kind: "mx" },
    protocol: "SMTP",
    tls: { mode: config.outbound.tls },
    delivery: {},
    retry: config.retry,
    // What an MX must not lead to, `outbound.deniedNetworks` says.
    reach: "anywhere",
  };
}
