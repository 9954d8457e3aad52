/** The operator's metrics, for Prometheus. Labels are closed sets. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Method } from "../kube/api.ts";
import type { Pass } from "./reconcile.ts";
import type { Kind } from "./store.ts";

export function createOperatorMetrics() {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const requests = new Counter({
    name: "mailroute_operator_requests_total",
    help: "Requests to the API server.",
    labelNames: ["method", "status"],
    registers,
  });
  const bytes = new Counter({
    name: "mailroute_operator_response_bytes_total",
    help: "Octets of its answers.",
    registers,
  });
  const watches = new Gauge({
    name: "mailroute_operator_watch_up",
    help: "1 while the kind is watched.",
    labelNames: ["kind"],
    registers,
  });
  const keys = new Gauge({
    name: "mailroute_operator_keys",
    help: "Keys of the last compile.",
    registers,
  });
  const held = new Gauge({
    name: "mailroute_operator_held_back",
    help: "1 while the guard holds a table back.",
    registers,
  });
  const drains = new Gauge({
    name: "mailroute_operator_drains",
    help: "Claims of relays that are gone and are to be emptied; failing: of these, those that do not get so.",
    labelNames: ["state"],
    registers,
  });
  const compile = new Histogram({
    name: "mailroute_operator_compile_seconds",
    help: "Time of a compile.",
    buckets: [0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10],
    registers,
  });
  return {
    registry,
    request({
      method,
      status,
      bytes: received,
    }: {
      readonly method: Method;
      readonly status: number;
      readonly bytes: number;
    }): void {
      requests.inc({ method, status: `${Math.floor(status / 100)}xx` });
      bytes.inc(received);
    },
    watch: ({ kind, ok }: { readonly kind: Kind | "ConfigMap"; readonly ok: boolean }): void =>
      watches.set({ kind }, ok ? 1 : 0),
    drains({ left, failing }: { readonly left: number; readonly failing: number }): void {
      drains.set({ state: "left" }, left);
      drains.set({ state: "failing" }, failing);
    },
    pass(pass: Pass): void {
      keys.set(pass.keys);
      held.set(pass.heldBack === undefined ? 0 : 1);
      compile.observe(pass.compileMs / 1000);
    },
  };
}
