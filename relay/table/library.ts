/**
 * The resources that a directory of manifests holds, remembered: pure state, no I/O, no clock. A file or
 * resource that breaks keeps its last good state and is complained of; only a deleted file or document
 * withdraws its routes. What was good is given out for keeping, so that a restart knows it too.
 */
import {
  type Complaint,
  complaintsMax,
  type Manifest,
  type ParsedFile,
  parseManifests,
} from "./manifests.ts";
import {
  type Check,
  complaintsAbout,
  isForUs,
  isUnknownKind,
  kindMeant,
} from "./resource-check.ts";

export type Resource = {
  readonly kind: string;
  readonly id: string;
  readonly resource: object;
  /** Never good: `compile` keeps those of its keys that can be read, as keys that cannot be used now. */
  readonly broken?: true;
};

/** What is known of the files, to be kept over restarts: JSON. */
export type LastGood = {
  /** By file: what was last good there. */
  readonly files: Readonly<Record<string, readonly Resource[]>>;
  /** Files with keys that nobody knows: they were never readable. */
  readonly missing: readonly string[];
};

export type LibraryView = {
  /** In order of file name and place; each kind and id once. */
  readonly resources: readonly Resource[];
  readonly complaints: readonly Complaint[];
  /** Something is broken of which no good state was ever known: its keys are missing. */
  readonly incomplete: boolean;
};

export type LibraryOptions = {
  readonly namespace: string;
  readonly check: Check;
  /** Whether all keys of a resource that is otherwise wrong can be read. */
  readonly hasReadableKeys: (kind: string, resource: object) => boolean;
  readonly lastGood?: LastGood;
};

/** "withdraws": the text says less than before, and nothing has been taken from it. */
export type ReadResult = "taken" | "withdraws";

type Shelf = {
  readonly resources: readonly Resource[];
  readonly complaints: readonly Complaint[];
  /** Keys of the file are known to nobody. Ends when all of the file was good once. */
  readonly missing: boolean;
  /** Nothing of the file was ever understood. */
  readonly unknown?: true;
  /** The file is not there any more: what another file says of the same resource counts. */
  readonly absent?: true;
};

export class Library {
  readonly #options: LibraryOptions;
  readonly #shelves = new Map<string, Shelf>();
  /** By kind and id: the file whose resource counts. A copy in another file never takes it over. */
  #owners = new Map<string, string>();
  /** Once everything was good, or was known from before, a new broken resource is only its own trouble. */
  #settled: boolean;

  constructor(options: LibraryOptions) {
    this.#options = options;
    const { files = {}, missing = [] } = options.lastGood ?? {};
    this.#settled = options.lastGood !== undefined && missing.length === 0;
    for (const [file, resources] of Object.entries(files)) {
      const isMissing = missing.includes(file);
      const isUnknown = isMissing && resources.length === 0;
      this.#shelves.set(file, {
        resources,
        complaints: [],
        missing: isMissing,
        ...(isUnknown && { unknown: true }),
      });
      for (const resource of resources) this.#owners.set(nameOf(resource), file);
    }
  }

  get files(): readonly string[] {
    return [...this.#shelves.keys()];
  }

  /** `isSure`: the text is known to be whole, so that it may say less than before. */
  read(file: string, text: string, { isSure }: { readonly isSure: boolean }): ReadResult {
    const before = this.#shelves.get(file);
    const parsed = parseManifests({ file, text, namespace: this.#options.namespace });
    if (parsed.complaints.length > 0) {
      this.#notUnderstood(file, parsed.complaints);
      return "taken";
    }
    const read = this.#shelve(file, parsed, before);
    const shelf = keepingLost({ file, parsed, before: before?.resources ?? [], shelf: read });
    if (!isSure && before !== undefined && saysLess(before.resources, shelf.resources)) {
      return "withdraws";
    }
    this.#shelves.set(file, shelf);
    return "taken";
  }

  /** The file, or directory, is there and cannot be read. */
  unreadable(file: string, why: string): void {
    this.#notUnderstood(file, [{ file, line: 1, text: `cannot be read: ${why}` }]);
  }

  /** The file is not there; what it held stays until `remove`, unless another file has it. */
  absent(file: string, why?: string): void {
    const shelf = this.#shelves.get(file);
    if (shelf === undefined) return;
    const complaints = why === undefined ? [] : [{ file, line: 1, text: why }];
    this.#shelves.set(file, { ...shelf, complaints, absent: true });
  }

  /** Nothing of it was ever understood: it may hold anything, what a vanished file held too. */
  isUnknown(file: string): boolean {
    return this.#shelves.get(file)?.unknown === true;
  }

  remove(file: string): void {
    this.#shelves.delete(file);
  }

  /** To be asked after all files have been read. */
  view(): LibraryView {
    const owners = this.#assignOwners();
    const resources: Resource[] = [];
    const complaints: Complaint[] = [];
    let missing = false;
    for (const [file, shelf] of this.#sorted()) {
      const found = [...shelf.complaints];
      missing ||= shelf.missing;
      for (const resource of shelf.resources) {
        const owner = owners.get(nameOf(resource));
        if (owner === file) resources.push(resource);
        else if (shelf.absent === undefined) {
          const text = `${nameOf(resource)} is already in ${owner}, which counts; rename one of them`;
          found.push({ file, line: 1, text });
        }
      }
      complaints.push(...bounded(file, found));
    }
    if (!missing) this.#settled = true;
    return { resources, complaints, incomplete: missing };
  }

  lastGood(): LastGood {
    const files: [string, readonly Resource[]][] = [];
    const missing: string[] = [];
    for (const [file, shelf] of this.#shelves) {
      // Secrets stay in their files: nothing of them is written elsewhere.
      const kept = shelf.resources.filter(
        (each) => each.kind !== "Secret" && (this.#owners.get(nameOf(each)) ?? file) === file,
      );
      files.push([file, kept]);
      if (shelf.missing) missing.push(file);
    }
    return { files: Object.fromEntries(files), missing };
  }

  #sorted(): [string, Shelf][] {
    return [...this.#shelves].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** Who held a resource before keeps it for as long as he has it; else the first file that is there. */
  #assignOwners(): ReadonlyMap<string, string> {
    const claims = new Map<string, { readonly file: string; readonly isAbsent: boolean }>();
    for (const [file, shelf] of this.#sorted()) {
      const isAbsent = shelf.absent === true;
      for (const resource of shelf.resources) {
        const name = nameOf(resource);
        const held = claims.get(name);
        const wins =
          held === undefined ||
          (held.isAbsent && !isAbsent) ||
          (held.isAbsent === isAbsent && this.#owners.get(name) === file);
        if (wins) claims.set(name, { file, isAbsent });
      }
    }
    this.#owners = new Map([...claims].map(([name, { file }]) => [name, file]));
    return this.#owners;
  }

  #notUnderstood(file: string, complaints: readonly Complaint[]): void {
    const before = this.#shelves.get(file);
    this.#shelves.set(file, {
      resources: before?.resources ?? [],
      complaints,
      missing: before?.missing ?? !this.#settled,
      ...((before === undefined || before.unknown === true) && { unknown: true }),
    });
  }

  /** The last good state of a resource, wherever it was: a file may be renamed and broken at once. */
  #lastGoodOf(file: string, name: string): Resource | undefined {
    for (const place of [file, this.#owners.get(name) ?? file]) {
      const resources = this.#shelves.get(place)?.resources ?? [];
      const good = resources.find((each) => nameOf(each) === name && each.broken === undefined);
      if (good !== undefined) return good;
    }
    return undefined;
  }

  #shelve(file: string, { manifests, unkinded }: ParsedFile, before: Shelf | undefined): Shelf {
    const resources: Resource[] = [];
    const complaints: Complaint[] = [];
    let areKeysMissing = unkinded.length > 0;
    for (const line of unkinded) complaints.push({ file, line, text: "has no kind: give it one" });
    for (const manifest of manifests) {
      if (!isForUs(manifest)) continue;
      const { id, resource } = manifest;
      const kind = kindMeant(manifest);
      const found = complaintsAbout(manifest, this.#options.check);
      complaints.push(...found);
      if (id === undefined) areKeysMissing = true;
      else if (found.length === 0) resources.push({ kind, id, resource });
      else {
        const good = this.#lastGoodOf(file, `${kind} ${id}`);
        resources.push(good ?? { kind, id, resource, broken: true });
        const isClear = good !== undefined || this.#options.hasReadableKeys(kind, resource);
        if (!isClear) areKeysMissing = true;
      }
    }
    const missing = areKeysMissing && (before?.missing ?? !this.#settled);
    return { resources, complaints, missing };
  }
}

function nameOf({ kind, id }: Resource): string {
  return `${kind} ${id}`;
}

function bounded(file: string, complaints: readonly Complaint[]): readonly Complaint[] {
  if (complaints.length <= complaintsMax) return complaints;
  const text = `and ${complaints.length - complaintsMax} more in this file`;
  return [...complaints.slice(0, complaintsMax), { file, line: 1, text }];
}

/** Whether a resource or a key of the state before is not in the state after. */
function saysLess(before: readonly Resource[], after: readonly Resource[]): boolean {
  const said = new Set(after.flatMap(sayings));
  return before.flatMap(sayings).some((saying) => !said.has(saying));
}

/** A resource and its keys as text; a change of senders is one of every key. */
function sayings(resource: Resource): string[] {
  const name = nameOf(resource);
  const spec: unknown = Reflect.get(resource.resource, "spec");
  if (typeof spec !== "object" || spec === null) return [name];
  const senders = JSON.stringify(Reflect.get(spec, "senders")) ?? "";
  const keys = ["suffixes", "domains", "addresses"].flatMap((kind) => {
    const list: unknown = Reflect.get(spec, kind);
    return Array.isArray(list)
      ? list.map((key) => `${name} ${kind} ${String(key)} ${senders}`)
      : [];
  });
  return [name, ...keys];
}

type Reread = {
  readonly file: string;
  readonly parsed: ParsedFile;
  readonly before: readonly Resource[];
  readonly shelf: Shelf;
};

/**
 * A file that is being written is often good YAML that says less: nothing at all, one word, a map without
 * kind or name. While a document of a file is broken, nothing that the file held before is withdrawn.
 */
function keepingLost({ file, parsed, before, shelf }: Reread): Shelf {
  const { manifests, strays } = parsed;
  const there = new Set(shelf.resources.map(nameOf));
  const lost = before.filter((each) => !there.has(nameOf(each)));
  if (lost.length === 0) return shelf;
  const isEmpty = manifests.length === 0 && strays.length === 0;
  const unfinished = manifests.find(isUnfinished)?.line ?? shelf.complaints[0]?.line;
  const line = isEmpty ? 1 : (strays[0] ?? unfinished);
  if (line === undefined) return shelf;
  const text = isEmpty
    ? "is empty: delete the file to withdraw its routes"
    : "is not a whole resource: what the file held before stays until this is mended or removed";
  const known = shelf.complaints.some((complaint) => complaint.line === line);
  const complaints = known ? shelf.complaints : [...shelf.complaints, { file, line, text }];
  return { ...shelf, resources: [...shelf.resources, ...lost], complaints };
}

function isUnfinished(manifest: Manifest): boolean {
  const { id, resource } = manifest;
  const isNamed = id !== undefined && typeof resource["apiVersion"] === "string";
  return !isNamed || isUnknownKind(manifest);
}
