/**
 * The relays of this installation: which pods are ready, and which table each serves. Adapter, and its memory: a
 * process that has answered serves that table or a later one as long as it lives, so one ask that fails is no news
 * of it.
 */
import type { Api, KubeObject } from "../kube/api.ts";
import type { RelayAnswer } from "./programmed.ts";

export type RelaysOptions = {
  readonly api: Api;
  readonly namespace: string;
  /** Label selector of the relay pods. */
  readonly selector: string;
  readonly adminPort: number;
  /** Milliseconds, of a clock that never goes back. */
  readonly now: () => number;
};

type Known = { readonly process: string; readonly atMs: number; readonly answer: RelayAnswer };

const askMsMax = 2000;
const keptMs = 5000;
const whyCharsMax = 300;

export class Relays {
  readonly #options: RelaysOptions;
  /** By pod. */
  #known: ReadonlyMap<string, Known> = new Map();

  constructor(options: RelaysOptions) {
    this.#options = options;
  }

  /** Asks all ready relays at once. Throws where the pods cannot be listed. */
  async ask(): Promise<readonly RelayAnswer[]> {
    const { api, namespace, selector } = this.#options;
    const { status, body } = await api.request({
      path: `/api/v1/namespaces/${namespace}/pods`,
      query: { labelSelector: selector },
    });
    if (status !== 200)
      throw new Error(`listing the relay pods answered ${status}: ${body.message ?? ""}`);
    const ready = ((body["items"] ?? []) as KubeObject[]).filter(isReady);
    const asked = await Promise.all(ready.map(async (pod) => await this.#askOne(pod)));
    this.#known = new Map(asked.flatMap(({ known }) => (known ? [[known.answer.pod, known]] : [])));
    return asked.map(({ answer }) => answer);
  }

  async #askOne(
    pod: KubeObject,
  ): Promise<{ readonly answer: RelayAnswer; readonly known?: Known | undefined }> {
    const name = String(pod.metadata?.["name"]);
    const process = processOf(pod);
    const said = await revisionOf(pod, this.#options.adminPort);
    if (typeof said !== "string") {
      const answer = { pod: name, ...said };
      const known =
        process === undefined ? undefined : { process, atMs: this.#options.now(), answer };
      return { answer, known };
    }
    const before = this.#known.get(name);
    const isKept =
      said === "unanswered" &&
      before?.process === process &&
      before !== undefined &&
      this.#options.now() - before.atMs < keptMs;
    if (isKept) return { answer: before.answer, known: before };
    return { answer: { pod: name, digest: undefined, failing: new Map() } };
  }
}

type Revision = Omit<RelayAnswer, "pod">;

/** "down": nobody listens, so the process that answered before is gone. */
async function revisionOf(
  pod: KubeObject,
  port: number,
): Promise<Revision | "unanswered" | "down"> {
  const address = String((pod["status"] as Record<string, unknown>)["podIP"]);
  const host = address.includes(":") ? `[${address}]` : address;
  const signal = AbortSignal.timeout(askMsMax);
  const ask = async (): Promise<Revision> => {
    const answer = await fetch(`http://${host}:${port}/revision`, { signal });
    const { digest, failing, untold } = (await answer.json()) as Record<string, unknown>;
    const known = typeof digest === "string" ? digest : undefined;
    return { digest: known, failing: failingIn(failing), untold: namesIn(untold) };
  };
  try {
    return await ask();
  } catch (error) {
    if (!resets.has(codeOf(error))) return codeOf(error) === refused ? "down" : "unanswered";
  }
  // A kept connection that the relay has just closed: a new one says more.
  return await ask().catch((error: unknown) => (codeOf(error) === refused ? "down" : "unanswered"));
}

const refused = "ECONNREFUSED";
const resets: ReadonlySet<string> = new Set(["ECONNRESET", "EPIPE", "UND_ERR_SOCKET"]);

function codeOf(error: unknown): string {
  const { cause } = error as { cause?: { code?: unknown } };
  return String(cause?.code ?? "");
}

/** Another text for another process in the pod; undefined where the pod does not say. */
function processOf(pod: KubeObject): string | undefined {
  const { containerStatuses = [] } = (pod["status"] ?? {}) as {
    containerStatuses?: { name?: string; containerID?: string; restartCount?: number }[];
  };
  if (containerStatuses.length === 0) return undefined;
  const ids = containerStatuses.map(({ name, containerID, restartCount }) => [
    name,
    containerID,
    restartCount,
  ]);
  return JSON.stringify([pod.metadata?.["uid"], ids]);
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
