/** The relays of this installation: which pods are ready, and which table each serves. Adapter. */
import type { Api, KubeObject } from "../kube/api.ts";
import type { RelayAnswer } from "./programmed.ts";

export type RelaysOptions = {
  readonly api: Api;
  readonly namespace: string;
  /** Label selector of the relay pods. */
  readonly selector: string;
  readonly adminPort: number;
};

const askMsMax = 2000;
const whyCharsMax = 300;

/** Asks all ready relays at once. Throws where the pods cannot be listed. */
export async function askRelays(options: RelaysOptions): Promise<readonly RelayAnswer[]> {
  const { status, body } = await options.api.request({
    path: `/api/v1/namespaces/${options.namespace}/pods`,
    query: { labelSelector: options.selector },
  });
  if (status !== 200)
    throw new Error(`listing the relay pods answered ${status}: ${body.message ?? ""}`);
  const ready = ((body["items"] ?? []) as KubeObject[]).filter(isReady);
  return await Promise.all(ready.map(async (pod) => await ask(pod, options.adminPort)));
}

async function ask(pod: KubeObject, port: number): Promise<RelayAnswer> {
  const name = String(pod.metadata?.["name"]);
  const address = String((pod["status"] as Record<string, unknown>)["podIP"]);
  const host = address.includes(":") ? `[${address}]` : address;
  try {
    const answer = await fetch(`http://${host}:${port}/revision`, {
      signal: AbortSignal.timeout(askMsMax),
    });
    const { digest, failing, untold } = (await answer.json()) as Record<string, unknown>;
    const known = typeof digest === "string" ? digest : undefined;
    return { pod: name, digest: known, failing: failingIn(failing), untold: namesIn(untold) };
  } catch {
    return { pod: name, digest: undefined, failing: new Map() };
  }
}

/** An older relay says nothing of it. */
function failingIn(list: unknown): ReadonlyMap<string, string> {
  if (!Array.isArray(list)) return new Map();
  const pairs = (list as unknown[]).map((each) => {
    const { route, why } = each as { route?: unknown; why?: unknown };
    return [String(route), String(why).slice(0, whyCharsMax)] as const;
  });
  return new Map(pairs);
}

function namesIn(list: unknown): ReadonlySet<string> {
  return new Set(Array.isArray(list) ? (list as unknown[]).map(String) : []);
}

/** Ready, and not on its way out. */
function isReady(pod: KubeObject): boolean {
  if (pod.metadata?.["deletionTimestamp"] !== undefined) return false;
  const { conditions = [] } = (pod["status"] ?? {}) as {
    conditions?: { type: string; status: string }[];
  };
  return conditions.some(({ type, status }) => type === "Ready" && status === "True");
}
