/**
 * Claims that relays have left behind: looks for them, and has a Job empty each. Adapter: drain-plan.ts decides. The
 * Job deletes the claim itself once it is empty and while it holds it, so that nobody can put mail into it meanwhile.
 */
import type { Api, KubeObject } from "../kube/api.ts";
import type { Note } from "./conditions.ts";
import { drainLabel } from "./drain-job.ts";
import { type DrainFacts, planDrains } from "./drain-plan.ts";
import type { DrainTrouble } from "./drain-trouble.ts";
import type { OperatorLog } from "./log.ts";

export type DrainerOptions = {
  readonly api: Api;
  readonly namespace: string;
  /** The installation. */
  readonly name: string;
  readonly log: OperatorLog;
  /** An Event about a claim. */
  readonly event: (claim: KubeObject, note: Note) => void;
  /** How many claims are to be emptied, and how many of those do not get so. */
  readonly count: (drains: { readonly left: number; readonly failing: number }) => void;
  readonly now: () => number;
};

export class Drainer {
  readonly #options: DrainerOptions;
  /** By claim: what was told last. */
  #told: ReadonlyMap<string, string> = new Map();

  constructor(options: DrainerOptions) {
    this.#options = options;
  }

  /** What a person should look at, a line for each claim. */
  get troubles(): readonly string[] {
    return [...this.#told].map(([claim, text]) => `${claim} is not emptied: ${text}`);
  }

  /** Throws where the API server refused or did not answer. */
  async look(): Promise<void> {
    const { api, namespace, log, count } = this.#options;
    const facts = await factsOf(this.#options);
    const plan = facts && planDrains(facts);
    this.#tell(plan?.troubles ?? []);
    count({ left: plan?.left ?? 0, failing: plan?.troubles.length ?? 0 });
    if (plan === undefined) return;
    const jobs = `/apis/batch/v1/namespaces/${namespace}/jobs`;
    for (const { metadata } of plan.remove) {
      const preconditions = { uid: metadata?.["uid"] };
      const options = { propagationPolicy: "Background", preconditions };
      const body = { kind: "DeleteOptions", apiVersion: "v1", ...options };
      await send(api, { method: "DELETE", path: `${jobs}/${String(metadata?.["name"])}`, body });
    }
    for (const job of plan.create) await send(api, { method: "POST", path: jobs, body: job });
    const made = plan.create.map(({ metadata }) => String(metadata?.["name"]));
    if (made.length > 0) log.draining({ jobs: made.join(" ") });
  }

  /** Once for each claim, for as long as it does not get empty. */
  #tell(troubles: readonly DrainTrouble[]): void {
    const { log, event } = this.#options;
    const now = new Map<string, string>();
    for (const { claim, text } of troubles) {
      const name = String(claim.metadata?.["name"]);
      now.set(name, text);
      if (this.#told.has(name)) continue;
      log.problem({ where: "drain", text: `${name} is not emptied: ${text}` });
      event(claim, { type: "Warning", reason: "DrainFailing", message: text });
    }
    this.#told = now;
  }
}

/** Undefined where there is no StatefulSet: nobody says how many relays there should be. */
async function factsOf({
  api,
  namespace,
  name,
  now,
}: DrainerOptions): Promise<DrainFacts | undefined> {
  const core = `/api/v1/namespaces/${namespace}`;
  const instance = { labelSelector: `app.kubernetes.io/instance=${name}` };
  const claims = await items(api, `${core}/persistentvolumeclaims`, instance);
  const ours = claims
    .filter(({ metadata }) => String(metadata?.["name"]).startsWith(`spool-${name}-relay-`))
    .map((each) => ({ ...each, apiVersion: "v1", kind: "PersistentVolumeClaim" }));
  if (ours.length === 0) return undefined;
  const path = `/apis/apps/v1/namespaces/${namespace}/statefulsets/${name}-relay`;
  const { status, body: statefulSet } = await api.request({ path });
  if (status === 404) return undefined;
  if (status !== 200) throw new Error(`reading the relays' StatefulSet answered ${status}`);
  const jobs = await items(api, `/apis/batch/v1/namespaces/${namespace}/jobs`, {
    labelSelector: `${drainLabel}=${name}`,
  });
  const pods = await items(api, `${core}/pods`, instance);
  return { name, statefulSet, claims: ours, jobs, pods, nowMs: now() };
}

async function items(
  api: Api,
  path: string,
  query: { readonly labelSelector: string },
): Promise<readonly KubeObject[]> {
  const { status, body } = await api.request({ path, query });
  if (status !== 200) throw new Error(`listing ${path} answered ${status}: ${body.message ?? ""}`);
  return (body["items"] ?? []) as readonly KubeObject[];
}

/** Another leader, or the Job's own end, may have been faster. */
async function send(api: Api, request: Parameters<Api["request"]>[0]): Promise<void> {
  const { status, body } = await api.request(request);
  if (status >= 300 && status !== 404 && status !== 409)
    throw new Error(`${request.method} ${request.path} answered ${status}: ${body.message ?? ""}`);
}
