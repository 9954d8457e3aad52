/** What happened, to log and metrics: the events of all parts on one page. */
import type { DeliveryEvents } from "../delivery/options.ts";
import type { ListenerEvents } from "../listener/events.ts";
import type { QueueEvents } from "../queue/events.ts";
import type { ReceptionEvents } from "../reception/events.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { RouteHealth } from "./route-health.ts";
import type { TokenProblems } from "./token-problems.ts";

export type Observed = {
  readonly queue: QueueEvents;
  readonly reception: ReceptionEvents;
  readonly delivery: DeliveryEvents;
  readonly listener: ListenerEvents;
};

export type Watchers = { readonly health: RouteHealth; readonly tokens: TokenProblems };

export function observe(log: Log, metrics: Metrics, { health, tokens }: Watchers): Observed {
  return {
    queue: {
      attempted(event) {
        metrics.attempted(event);
        log.attempted(event);
        health.attempted(event.route, event.outcome, event.nowMs);
      },
      reported(dsn, about) {
        metrics.reported();
        log.reported(dsn, about);
      },
      unreported(about, why) {
        metrics.unreported();
        log.unreported(about, why);
      },
      unsaved(error) {
        metrics.unsaved();
        log.unsaved(error);
      },
      corrupt(id) {
        metrics.corrupt();
        log.corrupt(id);
      },
      held: (id, why) => log.held(id, why),
    },
    reception: {
      authenticated(event) {
        metrics.authenticated(event.credentials.mechanism, event.verdict.kind);
        log.authenticated(event);
      },
      accepted(event) {
        metrics.accepted(event.envelope.bytes, event.ms);
        if (event.identity !== undefined) metrics.acceptedFrom(event.identity.namespace);
        log.accepted(event);
      },
      refused(event) {
        metrics.refused(event.reason);
        log.refused(event);
      },
      normalised({ client, fault }) {
        metrics.normalised();
        log.normalised(client, fault);
      },
      unwritten(error) {
        metrics.unsaved();
        log.unsaved(error);
      },
    },
    delivery: deliveryEvents(log, metrics, tokens),
    listener: {
      opened: () => metrics.connection("in", "opened"),
      closed() {},
      turnedAway: () => metrics.connection("in", "refused"),
      refused(client, reason) {
        metrics.refused(reason);
        log.protocolRefused(client, reason);
      },
      limit(client, limit) {
        metrics.limit(limit);
        log.limit(client, limit);
      },
      clientCertificate(client, shown) {
        metrics.clientCertificate(shown.result);
        log.clientCertificate(client, shown);
      },
      proxy(event) {
        metrics.proxied(event.result);
        log.proxyRefused(event);
      },
      failed: (error, source, client) => log.listenerFailed(error, source, client),
    },
  };
}

function deliveryEvents(log: Log, metrics: Metrics, tokens: TokenProblems): DeliveryEvents {
  return {
    connectionOpened(event) {
      metrics.connection("out", "opened");
      metrics.secured(event);
      log.connected(event);
    },
    connectionFailed({ hop, cause, reply }) {
      metrics.connection("out", "failed");
      log.connectionFailed({ hop, cause, code: reply.code, text: reply.text });
    },
    hostPressed: ({ hop, connectionsMax, spacingMs, reply }) =>
      log.hostPressed({ hop, connections: connectionsMax, spacingMs, ...reply }),
    hostRested: ({ hop, restMs, cause }) => log.hostRested({ hop, ms: restMs, cause }),
    sts(event) {
      metrics.sts(event.result);
      log.sts(event);
    },
    signed: ({ result }) => metrics.signed(result),
    token(event) {
      metrics.token(event.result);
      log.token(event);
      tokens.told(event);
    },
    bug: (error) => log.crashed(error),
  };
}
