/**
 * Claims that relays have left behind: looks for them, and has a Job empty each. Adapter: drain-plan.ts decides. The
 * Job deletes the claim itself once it is empty and while it holds it, so that nobody can put mail into it meanwhile.
 */
import type { Api, KubeObject } from "../kube/api.ts";
import { type DrainFacts, drainLabel, planDrains } from "./drain-plan.ts";

export type DrainerOptions = {
  readonly api: Api;
  readonly namespace: string;
  /** The installation. */
  readonly name: string;
  readonly drains: (ordinals: readonly string[]) => void;
};

/** Throws where the API server refused or did not answer. */
export async function drainClaims(options: DrainerOptions): Promise<void> {
  const facts = await factsOf(options);
  if (facts === undefined) return;
  const { create, remove } = planDrains(facts);
  const jobs = `/apis/batch/v1/namespaces/${options.namespace}/jobs`;
  for (const job of create) await send(options.api, { method: "POST", path: jobs, body: job });
  if (create.length > 0) options.drains(create.map(({ metadata }) => String(metadata?.["name"])));
  for (const name of remove) {
    const body = { kind: "DeleteOptions", apiVersion: "v1", propagationPolicy: "Background" };
    await send(options.api, { method: "DELETE", path: `${jobs}/${name}`, body });
  }
}

/** Undefined where there is no StatefulSet: nobody says how many relays there should be. */
async function factsOf({ api, namespace, name }: DrainerOptions): Promise<DrainFacts | undefined> {
  const core = `/api/v1/namespaces/${namespace}`;
  const instance = { labelSelector: `app.kubernetes.io/instance=${name}` };
  const claims = await items(api, `${core}/persistentvolumeclaims`, instance);
  const ours = claims.filter((each) =>
    String(each.metadata?.["name"]).startsWith(`spool-${name}-relay-`),
  );
  if (ours.length === 0) return undefined;
  const path = `/apis/apps/v1/namespaces/${namespace}/statefulsets/${name}-relay`;
  const { status, body: statefulSet } = await api.request({ path });
  if (status === 404) return undefined;
  if (status !== 200) throw new Error(`reading the relays' StatefulSet answered ${status}`);
  const jobs = await items(api, `/apis/batch/v1/namespaces/${namespace}/jobs`, {
    labelSelector: `${drainLabel}=${name}`,
  });
  const pods = await items(api, `${core}/pods`, instance);
  return { name, statefulSet, claims: ours, jobs, pods };
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
