/**
 * Kubernetes manifests as files: pure. The text of a YAML file in, its documents out, each with the line
 * of any of its fields, so that a complaint can say file:line. What a document means is not decided here.
 */
import {
  isMap,
  isScalar,
  LineCounter,
  parseAllDocuments,
  type Document as YamlDocument,
} from "yaml";

export type Manifest = {
  readonly file: string;
  readonly line: number;
  readonly kind: string;
  /** "namespace/name", or "name" of what has no namespace; undefined where metadata.name is missing. */
  readonly id: string | undefined;
  readonly resource: Readonly<Record<string, unknown>>;
  /** Line of a field, or of the nearest parent that is there. */
  lineOf(path: readonly PropertyKey[]): number;
};

export type Complaint = { readonly file: string; readonly line: number; readonly text: string };

export type ParsedFile = {
  readonly manifests: readonly Manifest[];
  /** Not empty: the file is not YAML, and none of its documents can be trusted. */
  readonly complaints: readonly Complaint[];
  /** Lines of documents that hold something, but no resource. */
  readonly strays: readonly number[];
};

export type ManifestSource = {
  readonly file: string;
  readonly text: string;
  readonly namespace: string;
};

/** `namespace` is for resources that name none. Documents that are not Kubernetes resources are skipped. */
export function parseManifests({ file, text, namespace }: ManifestSource): ParsedFile {
  const lineCounter = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter, maxAliasCount: 100 } as object);
  const complaints: Complaint[] = [];
  const manifests: Manifest[] = [];
  const strays: number[] = [];
  for (const document of Array.isArray(documents) ? documents : []) {
    for (const error of document.errors) {
      const { line } = lineCounter.linePos(error.pos[0]);
      complaints.push({ file, line, text: `not YAML: ${firstLine(error.message)}` });
    }
    if (document.errors.length > 0) continue;
    const resource = plain(document);
    if (resource instanceof Error) {
      complaints.push({
        file,
        line: lineAt(document, [], lineCounter),
        text: `not YAML: ${firstLine(resource.message)}`,
      });
      continue;
    }
    const found = manifestsIn({ file, document, resource, lineCounter, namespace, at: [] });
    manifests.push(...found);
    if (found.length === 0 && resource !== null) strays.push(lineAt(document, [], lineCounter));
  }
  return { manifests, complaints, strays };
}

/** The value, or the error of an alias bomb or a dangling alias. */
function plain(document: YamlDocument.Parsed): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    return error;
  }
}

type Parts = {
  readonly file: string;
  readonly document: YamlDocument.Parsed;
  readonly resource: unknown;
  readonly lineCounter: LineCounter;
  readonly namespace: string;
  /** Where in the document the resource stands: [] unless it is an item of a List. */
  readonly at: readonly (string | number)[];
};

/** One resource, or those of a `kind: List`, as `kubectl get -o yaml` prints them. */
function manifestsIn(parts: Parts): Manifest[] {
  const { resource } = parts;
  if (!isRecord(resource) || typeof resource["kind"] !== "string") return [];
  const { kind, items } = resource;
  if (!kind.endsWith("List") || !Array.isArray(items))
    return [asManifest(parts, { ...resource, kind })];
  return items.flatMap((item: unknown, index) =>
    manifestsIn({ ...parts, resource: item, at: [...parts.at, "items", index] }),
  );
}

type Kinded = Readonly<Record<string, unknown>> & { readonly kind: string };

function asManifest(
  { file, document, lineCounter, namespace, at }: Parts,
  resource: Kinded,
): Manifest {
  const { kind, metadata } = resource;
  const named = isRecord(metadata) ? metadata : {};
  const { name } = named;
  const clusterScoped = kind === "MailGrant" || kind === "Namespace";
  const space = typeof named["namespace"] === "string" ? named["namespace"] : namespace;
  const id = typeof name === "string" && name !== "" ? name : undefined;
  const complete =
    clusterScoped || !isRecord(metadata)
      ? resource
      : { ...resource, metadata: { ...metadata, namespace: space } };
  return {
    file,
    line: lineAt(document, [...at, "kind"], lineCounter),
    kind,
    id: id === undefined || clusterScoped ? id : `${space}/${id}`,
    resource: complete,
    lineOf: (path) => lineAt(document, [...at, ...path], lineCounter),
  };
}

function lineAt(
  document: YamlDocument.Parsed,
  path: readonly PropertyKey[],
  lines: LineCounter,
): number {
  for (let length = path.length; length >= 0; length--) {
    const wanted = path.slice(0, length);
    const node = keyOrNode(document, wanted);
    if (node !== undefined) return lines.linePos(node).line;
  }
  return 1;
}

/** Offset of the key that leads to the node, where there is one: that is what a reader looks for. */
function keyOrNode(
  document: YamlDocument.Parsed,
  path: readonly PropertyKey[],
): number | undefined {
  const last = path.at(-1);
  const parent = path.length === 0 ? document.contents : document.getIn(path.slice(0, -1), true);
  if (last !== undefined && isMap(parent)) {
    const pair = parent.items.find((item) => isScalar(item.key) && item.key.value === last);
    if (pair !== undefined && isScalar(pair.key)) return pair.key.range?.[0];
    return undefined;
  }
  const node = path.length === 0 ? document.contents : document.getIn(path, true);
  return isRecord(node) && Array.isArray(node["range"]) ? (node["range"][0] as number) : undefined;
}

/** "spec.target.hosts[0].port" as the keys that lead there. */
export function fieldPath(field: string): readonly (string | number)[] {
  const parts = field.matchAll(/\[(\d+)\]|[^.[\]]+/g);
  return [...parts].map(([text, index]) => (index === undefined ? text : Number(index)));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function firstLine(text: string): string {
  return text.split("\n")[0] ?? text;
}
