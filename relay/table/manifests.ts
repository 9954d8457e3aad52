/**
 * Kubernetes manifests as files: pure. The text of a YAML file in, its documents out, each with the line
 * of any of its fields, so that a complaint can say file:line. What a document means is not decided here.
 */
import {
  Composer,
  isMap,
  isScalar,
  LineCounter,
  type ParsedNode,
  Parser,
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
  /** Of these, those that say that they are ours: resources whose `kind` is missing. */
  readonly unkinded: readonly number[];
};

export type ManifestSource = {
  readonly file: string;
  readonly text: string;
  readonly namespace: string;
};

/** Complaints of one file, and documents that a file may have: what is beyond is not even read. */
export const complaintsMax = 10;
const documentsMax = 20_000;
/** Brackets opened one in the other, and in all: the parser needs a kilobyte or more for each. */
const depthMax = 100;
const bracketsMax = 100_000;
/** Of keys of a map with each other: thousands of keys are no resource. */
const comparisonsMax = 20_000_000;
/** `namespace` is for resources that name none. Documents that are not Kubernetes resources are skipped. */
export function parseManifests({ file, text, namespace }: ManifestSource): ParsedFile {
  const lineCounter = new LineCounter();
  const { documents, errors } = documentsIn(text, lineCounter);
  const complaints: Complaint[] = errors.slice(0, complaintsMax).map(({ offset, message }) => ({
    file,
    line: lineCounter.linePos(offset).line,
    text: `not YAML: ${firstLine(message)}`,
  }));
  if (errors.length > complaintsMax) {
    complaints.push({ file, line: 1, text: "not YAML: and more errors" });
  }
  const manifests: Manifest[] = [];
  const strays: number[] = [];
  const unkinded: number[] = [];
  for (const document of documents) {
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
    if (found.length > 0 || resource === null) continue;
    const line = lineAt(document, [], lineCounter);
    strays.push(line);
    if (isRecord(resource) && isOfOurGroup(resource)) unkinded.push(line);
  }
  return { manifests, complaints, strays, unkinded };
}

/** Whether a resource says that it is one of ours, whatever its kind. */
export function isOfOurGroup(resource: Readonly<Record<string, unknown>>): boolean {
  return String(resource["apiVersion"] ?? "").startsWith("mailroute.dev/");
}

type Documents = {
  readonly documents: readonly YamlDocument.Parsed<ParsedNode>[];
  readonly errors: readonly { readonly offset: number; readonly message: string }[];
};

class Enough extends Error {}

/** Stops after a few errors: a large file of them would cost minutes and gigabytes. */
function documentsIn(text: string, lineCounter: LineCounter): Documents {
  const deep = tooManyBracketsAt(text);
  if (deep !== undefined) {
    for (let at = -1; at < deep; ) {
      lineCounter.addNewLine(at + 1);
      const next = text.indexOf("\n", at + 1);
      at = next === -1 ? deep : next;
    }
    return {
      documents: [],
      errors: [{ offset: deep, message: "too many brackets, or nested too deep" }],
    };
  }
  const documents: YamlDocument.Parsed<ParsedNode>[] = [];
  const errors: { offset: number; message: string }[] = [];
  let comparisons = 0;
  const isSameKey = (a: ParsedNode, b: ParsedNode): boolean => {
    comparisons += 1;
    if (comparisons > comparisonsMax) throw new Enough("a map with too many keys");
    return a === b || (isScalar(a) && isScalar(b) && a.value === b.value);
  };
  const composer = new Composer({ lineCounter, prettyErrors: false, uniqueKeys: isSameKey });
  countErrors(composer, (offset, message) => {
    errors.push({ offset, message });
    if (errors.length > complaintsMax) throw new Enough();
  });
  try {
    const tokens = new Parser(lineCounter.addNewLine).parse(text);
    for (const document of composer.compose(tokens, false, text.length)) {
      if (errors.length === 0) {
        for (const { pos, message } of document.errors) errors.push({ offset: pos[0], message });
      }
      documents.push(document);
      if (documents.length > documentsMax) {
        errors.push({ offset: 0, message: `more than ${documentsMax} documents: split the file` });
        break;
      }
    }
  } catch (error) {
    if (!(error instanceof Enough && errors.length > 0))
      errors.push({ offset: 0, message: (error as Error).message });
  }
  return { documents, errors };
}

type ErrorPlace = number | readonly number[] | { readonly offset: number };
type OnError = (place: ErrorPlace, code: string, message: string, isWarning?: boolean) => void;

/** The composer has no public way to be stopped; where its field goes away, all errors are collected. */
function countErrors(composer: Composer, count: (offset: number, message: string) => void): void {
  const hook = composer as unknown as { onError: OnError };
  const { onError } = hook;
  hook.onError = (place, code, message, isWarning) => {
    onError(place, code, message, isWarning);
    if (isWarning === true) return;
    if (typeof place === "number") count(place, message);
    else count("offset" in place ? place.offset : (place[0] ?? 0), message);
  };
}

function tooManyBracketsAt(text: string): number | undefined {
  let depth = 0;
  let brackets = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text[at] as string;
    if (char === "[" || char === "{") {
      depth += 1;
      brackets += 1;
    } else if (char > " ") depth = 0;
    if (depth > depthMax || brackets > bracketsMax) return at;
  }
  return undefined;
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
