/** The cluster that a process runs in, or that KUBECONFIG names. Adapter over client-node's KubeConfig. */
import { KubeConfig } from "@kubernetes/client-node";
import { type Api, type ApiOptions, createApi } from "./api.ts";

/** Throws where neither a pod's credentials nor a kubeconfig is there. */
export function connectCluster(options: ApiOptions): Api {
  const config = new KubeConfig();
  config.loadFromDefault();
  return createApi(config, options);
}
