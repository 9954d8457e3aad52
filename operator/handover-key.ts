/**
 * The key with which relays of an installation hand mail to each other, in a Secret of its own. Adapter: made once,
 * at random, and never written again; whoever wants another deletes it and restarts operator and relays.
 */
import { randomBytes } from "node:crypto";
import type { Api } from "../kube/api.ts";

const keyBytes = 48;
const isThere = 409;

/** Rejects where the API server did not take it. */
export async function ensureHandoverKey(options: {
  readonly api: Api;
  readonly namespace: string;
  /** The installation: the Secret is NAME-handover. */
  readonly name: string;
}): Promise<void> {
  const { api, namespace, name } = options;
  const { status, body } = await api.request({
    method: "POST",
    path: `/api/v1/namespaces/${namespace}/secrets`,
    body: {
      apiVersion: "v1",
      kind: "Secret",
      type: "Opaque",
      metadata: { name: `${name}-handover`, namespace },
      stringData: { key: randomBytes(keyBytes).toString("base64") },
    },
  });
  if (status >= 300 && status !== isThere)
    throw new Error(`making the hand-over key answered ${status}: ${body.message ?? ""}`);
}
