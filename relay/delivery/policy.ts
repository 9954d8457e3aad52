/**
 * What a route asks of every connection made for it, worked out once for each route: the key under
 * which connections may be shared, and the hops. Pure, but for remembering what it worked out.
 */
import { hostPort } from "../../routing/parse-route.ts";
import type { Auth, Host, Route, Tls } from "../../routing/route.ts";

export type Policy = {
  readonly protocol: "SMTP" | "LMTP";
  readonly heloName: string;
  readonly tls: Tls;
  readonly auth?: Auth;
  readonly connectionsMax: number;
  readonly messagesMax: number;
  /** Which inner networks its hosts may turn out to be in; absent: none. */
  readonly reach?: Route["reach"];
  /** The same for the host that gives out its access tokens. */
  readonly tokenReach?: Route["reach"];
  /** By a policy of the recipients' domain (MTA-STS). */
  readonly sts?: "enforce" | "testing";
  /** Equal for two routes whose connections are interchangeable; holds the credentials' versions. */
  readonly key: string;
};

/** How a host was found: by the rule itself or its SRV records, as an MX host, or as a domain without MX record. */
export type Via = "hosts" | "srv" | "mx" | "implicit";

/** Named by the route's owner, not by whoever owns the recipient's domain. */
export function isConfigured(via: Via): boolean {
  return via === "hosts" || via === "srv";
}

export type Hop = {
  readonly host: string;
  readonly port: number;
  readonly via: Via;
  readonly policy: Policy;
  /** "host:port", for logs and outcomes. */
  readonly name: string;
  /** Names the pool of connections that may be used for it. */
  readonly key: string;
};

export type PolicyDefaults = {
  readonly heloName: string;
  readonly connectionsMax: number;
  readonly messagesMax: number;
  /** Among how many relays a route's own `maxConnections` is shared out. */
  readonly relays: number;
};

export function policyOf(
  route: Route,
  protocol: "SMTP" | "LMTP",
  defaults: PolicyDefaults,
): Policy {
  const { tls, auth, delivery } = route;
  // The mail store is the installation's own choice, whoever's route leads to it.
  const reach = route.target.kind === "inbound" ? "anywhere" : route.reach;
  const heloName = route.heloName ?? defaults.heloName;
  const credentials = [tls.ca, tls.clientCertificate, auth?.credential].map((ref) =>
    ref === undefined ? "" : `${ref.secret}@${ref.version}`,
  );
  const key = [
    protocol,
    heloName,
    tls.mode,
    tls.serverName ?? "",
    auth?.kind ?? "",
    auth?.kind === "oauth2" ? JSON.stringify([auth.tokenURL, auth.clientID, auth.scope]) : "",
    ...credentials,
    // A connection that one route may have is not for a route that may not.
    ...(reach === "anywhere" ? ["anywhere"] : (reach ?? [])),
  ];
  return {
    protocol,
    heloName,
    tls,
    ...(auth === undefined ? {} : { auth }),
    ...(reach === undefined ? {} : { reach }),
    ...(route.reach === undefined ? {} : { tokenReach: route.reach }),
    connectionsMax:
      delivery.maxConnections === undefined
        ? defaults.connectionsMax
        : Math.max(1, Math.floor(delivery.maxConnections / defaults.relays)),
    messagesMax: delivery.maxMessagesPerConnection ?? defaults.messagesMax,
    key: key.join("|"),
  };
}

/**
 * RFC 8461 section 5: under `enforce` the host's certificate is checked by the host's name, whatever the route asks
 * for; `testing` changes nothing but what is told.
 */
export function underSts(policy: Policy, mode: "enforce" | "testing"): Policy {
  if (mode === "testing") return { ...policy, sts: mode };
  const { serverName: _, ...tls } = policy.tls;
  const key = `${policy.key}|mta-sts`;
  return { ...policy, sts: mode, tls: { ...tls, mode: "Verified" }, key };
}

export function hopOf({ host, port }: Host, via: Via, policy: Policy): Hop {
  const name = hostPort({ host, port });
  return { host, port, via, policy, name, key: `${name}|${via}|${policy.key}` };
}
