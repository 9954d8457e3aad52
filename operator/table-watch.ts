/**
 * Watches the ConfigMaps that the published table is in: by names, never their contents. Adapter over reflector.ts:
 * it says what somebody has deleted, and when the manifest, which carries a person's approval, was written.
 */
import type { Api, KubeObject } from "../kube/api.ts";
import { type Change, type Reflector, reflect, type WatchState } from "../kube/reflector.ts";
import { tableLabel } from "./publish.ts";

export type TableWatchOptions = {
  readonly api: Api;
  /** Of the ConfigMaps. */
  readonly path: string;
  /** The installation. */
  readonly name: string;
  /** What is to be there, the manifest first; empty where nothing is published by this process. */
  readonly standing: () => readonly string[];
  readonly lost: (names: readonly string[]) => void;
  readonly manifestWritten: () => void;
  readonly state: (state: WatchState) => void;
};

export function watchTable(options: TableWatchOptions): Reflector {
  const { api, path, name, state } = options;
  return reflect({
    api,
    path,
    query: { labelSelector: `${tableLabel}=${name}` },
    metadataOnly: true,
    changed: (change) => tell(options, change),
    state,
  });
}

function tell({ standing, lost, manifestWritten }: TableWatchOptions, change: Change): void {
  const names = standing();
  if (change.type === "set") {
    if (nameOf(change.object) === names[0]) manifestWritten();
    return;
  }
  const told = new Set(
    change.type === "listed" ? change.objects.map(nameOf) : [nameOf(change.object)],
  );
  const gone = names.filter((name) => told.has(name) === (change.type === "deleted"));
  if (gone.length > 0) lost(gone);
}

function nameOf({ metadata }: KubeObject): string {
  return String(metadata?.["name"]);
}
