/**
 * Leader election by a Lease. Loop: takes it when it is free or has not changed for its whole duration by our
 * own clock (clocks of others are never compared), renews it, and says when it is lost. What a former leader
 * still tries to write fails on its resourceVersion precondition.
 */
import type { Api, KubeObject } from "../kube/api.ts";
import { errorText } from "../kube/error-text.ts";

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

/** Begins to try for the lease at once, and goes on until it is released. */
export function holdLease(options: LeaseOptions): Lease {
  const holder = new Holder(options);
  void holder.turn();
  return holder;
}

type Spec = Readonly<Record<string, unknown>>;
/** Or another has written it since it was read, or deleted it. */
type Put = "written" | "overtaken" | "gone";

function isOurs(put: Put): boolean {
  if (put === "gone") throw new Error("the lease was deleted while it was taken");
  return put === "written";
}

class Holder implements Lease {
  readonly #options: LeaseOptions;
  readonly #times: LeaseTimes;
  readonly #path: string;
  /** The lease as we have written it last: the next renewal is upon that. */
  #ours: KubeObject | undefined;
  /** The lease as last seen, and since when by our own clock. */
  #seen: { readonly version: string; readonly atMs: number } | undefined;
  #renewedMs = 0;
  #holds = false;
  #isStopped = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#times = { ...defaults, ...options.times };
    this.#path = `/apis/coordination.k8s.io/v1/namespaces/${options.namespace}/leases`;
  }

  /** A process that was stopped and goes on is not leader until it has renewed. */
  get isLeader(): boolean {
    return this.#holds && performance.now() - this.#renewedMs <= this.#times.deadlineMs;
  }

  async turn(): Promise<void> {
    const startedMs = performance.now();
    let why = "another holds the lease";
    const held = await this.#attempt().catch((error: unknown) => {
      why = errorText(error);
      return undefined;
    });
    if (this.#isStopped) return;
    if (held === true) {
      this.#renewedMs = startedMs;
      if (!this.#holds) {
        this.#holds = true;
        this.#options.leading();
      }
    } else if (this.#holds && (held === false || !this.isLeader)) {
      this.#holds = false;
      this.#options.lost(why);
    }
    this.#timer = setTimeout(() => void this.turn(), this.#times.retryMs);
  }

  async release(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    if (!this.#holds) return;
    this.#holds = false;
    await this.#options.api
      .request({
        method: "PATCH",
        path: `${this.#path}/${this.#options.name}`,
        contentType: "application/merge-patch+json",
        body: {
          // Of another who has taken it meanwhile it is not ours to give up.
          metadata: { resourceVersion: this.#seen?.version },
          spec: { holderIdentity: "", leaseDurationSeconds: 1 },
        },
      })
      .catch(() => undefined);
  }

  /** True: ours for another while; false: another's. Throws where the API server did not say. */
  async #attempt(): Promise<boolean> {
    // Who holds it need not read it: a write upon what he has written fails where anybody else has been at it.
    if (this.#ours !== undefined && (await this.#put(this.#ours)) === "written") return true;
    return await this.#readAndWrite();
  }

  async #readAndWrite(): Promise<boolean> {
    const { api, name, identity } = this.#options;
    const { status, body } = await api.request({ path: `${this.#path}/${name}` });
    if (status === 404) return isOurs(await this.#put(undefined));
    if (status !== 200) {
      throw new Error(`reading the lease answered ${status} ${body.message ?? ""}`);
    }
    const version = body.metadata?.resourceVersion ?? "";
    if (this.#seen?.version !== version) this.#seen = { version, atMs: performance.now() };
    const spec = (body["spec"] ?? {}) as Spec;
    const holder = String(spec["holderIdentity"] ?? "");
    const heldMs = Number(spec["leaseDurationSeconds"] ?? 0) * 1000;
    const isHeld = holder !== "" && performance.now() - this.#seen.atMs < heldMs;
    if (isHeld && holder !== identity) return false;
    return isOurs(await this.#put(body));
  }

  async #put(before: KubeObject | undefined): Promise<Put> {
    this.#ours = undefined;
    const { api, namespace, name } = this.#options;
    const resourceVersion = before?.metadata?.resourceVersion;
    const { status, body } = await api.request({
      method: before === undefined ? "POST" : "PUT",
      path: before === undefined ? this.#path : `${this.#path}/${name}`,
      body: {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { name, namespace, ...(resourceVersion !== undefined && { resourceVersion }) },
        spec: this.#nextSpec((before?.["spec"] ?? {}) as Spec),
      },
    });
    if (status === 409) return "overtaken";
    if (status === 404) return "gone";
    if (status >= 300)
      throw new Error(`writing the lease answered ${status} ${body.message ?? ""}`);
    this.#seen = { version: body.metadata?.resourceVersion ?? "", atMs: performance.now() };
    this.#ours = body;
    return "written";
  }

  #nextSpec(before: Spec): Spec {
    const { identity } = this.#options;
    const now = microTime(new Date());
    const isOurs = before["holderIdentity"] === identity;
    return {
      holderIdentity: identity,
      leaseDurationSeconds: Math.round(this.#times.durationMs / 1000),
      acquireTime: isOurs ? (before["acquireTime"] ?? now) : now,
      renewTime: now,
      leaseTransitions: Number(before["leaseTransitions"] ?? 0) + (isOurs ? 0 : 1),
    };
  }
}

/** Kubernetes' MicroTime: exactly six fractional digits. */
export function microTime(date: Date): string {
  return date.toISOString().replace("Z", "000Z");
}
