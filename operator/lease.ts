/**
 * Leader election by a Lease. Loop: takes it when it is free or has not changed for its whole duration by our
 * own clock (clocks of others are never compared), renews it, and says when it is lost. What a former leader
 * still tries to write fails on its resourceVersion precondition.
 */
import type { Api, KubeObject } from "../kube/api.ts";

export type LeaseOptions = {
  readonly api: Api;
  readonly namespace: string;
  readonly name: string;
  /** Who we are: the pod's name. */
  readonly identity: string;
  readonly leading: () => void;
  /** The lease was lost after it was ours: stop writing at once. */
  readonly lost: (why: string) => void;
  readonly times?: Partial<LeaseTimes>;
};

export type LeaseTimes = {
  readonly durationMs: number;
  /** Without a renewal for so long we no longer count as leader. */
  readonly deadlineMs: number;
  readonly retryMs: number;
};

const defaults: LeaseTimes = { durationMs: 15_000, deadlineMs: 10_000, retryMs: 2_000 };

export type Lease = {
  readonly isLeader: boolean;
  /** Gives the lease up, so that another need not wait for it to run out. */
  release(): Promise<void>;
};

export function holdLease(options: LeaseOptions): Lease {
  const times = { ...defaults, ...options.times };
  const path = `/apis/coordination.k8s.io/v1/namespaces/${options.namespace}/leases`;
  let seen: { readonly version: string; readonly atMs: number } | undefined;
  let renewedMs = 0;
  let isLeader = false;
  let isStopped = false;
  let timer: NodeJS.Timeout | undefined;

  const attempt = async (): Promise<boolean> => {
    const { status, body } = await options.api.request({ path: `${path}/${options.name}` });
    if (status === 404) return await put("POST", path, {});
    if (status !== 200) throw new Error(`reading the lease answered ${status} ${body.message ?? ""}`);
    const spec = (body["spec"] ?? {}) as Record<string, unknown>;
    const version = body.metadata?.resourceVersion ?? "";
    if (seen?.version !== version) seen = { version, atMs: performance.now() };
    const holder = String(spec["holderIdentity"] ?? "");
    const isOurs = holder === options.identity;
    const heldMs = Number(spec["leaseDurationSeconds"] ?? 0) * 1000;
    if (!isOurs && holder !== "" && performance.now() - seen.atMs < heldMs) return false;
    return await put("PUT", `${path}/${options.name}`, body);
  };

  const put = async (method: "POST" | "PUT", where: string, before: KubeObject): Promise<boolean> => {
    const old = (before["spec"] ?? {}) as Record<string, unknown>;
    const isOurs = old["holderIdentity"] === options.identity;
    const now = microTime(new Date());
    const transitions = Number(old["leaseTransitions"] ?? 0) + (isOurs || method === "POST" ? 0 : 1);
    const { status, body } = await options.api.request({
      method,
      path: where,
      body: {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { name: options.name, namespace: options.namespace, ...(method === "PUT" && { resourceVersion: before.metadata?.resourceVersion }) },
        spec: {
          holderIdentity: options.identity,
          leaseDurationSeconds: Math.round(times.durationMs / 1000),
          acquireTime: isOurs ? (old["acquireTime"] ?? now) : now,
          renewTime: now,
          leaseTransitions: transitions,
        },
      },
    });
    if (status === 409) return false; // another was first
    if (status >= 300) throw new Error(`writing the lease answered ${status} ${body.message ?? ""}`);
    seen = { version: body.metadata?.resourceVersion ?? "", atMs: performance.now() };
    return true;
  };

  const turn = async (): Promise<void> => {
    const startedMs = performance.now();
    let why = "another holds the lease";
    const held = await attempt().catch((error: unknown) => {
      why = error instanceof Error ? error.message : String(error);
      return undefined;
    });
    if (isStopped) return;
    if (held === true) {
      renewedMs = startedMs;
      if (!isLeader) {
        isLeader = true;
        options.leading();
      }
    } else if (isLeader && (held === false || performance.now() - renewedMs > times.deadlineMs)) {
      isLeader = false;
      options.lost(why);
    }
    timer = setTimeout(() => void turn(), times.retryMs);
  };
  void turn();
  return {
    get isLeader() {
      // A process that was stopped and goes on is not leader until it has renewed.
      return isLeader && performance.now() - renewedMs <= times.deadlineMs;
    },
    async release() {
      isStopped = true;
      clearTimeout(timer);
      if (!isLeader) return;
      isLeader = false;
      const body = { spec: { holderIdentity: "", leaseDurationSeconds: 1 } };
      await options.api
        .request({ method: "PATCH", path: `${path}/${options.name}`, contentType: "application/merge-patch+json", body })
        .catch(() => undefined);
    },
  };
}

/** Kubernetes' MicroTime: exactly six fractional digits. */
export function microTime(date: Date): string {
  return date.toISOString().replace("Z", "000Z");
}
