/**
 * The resources that a directory of manifests holds, remembered: pure state, no I/O. A file or resource
 * that breaks keeps its last good state and is complained of; only a deleted file or document withdraws
 * its routes. What was good is given out for keeping, so that a restart knows it too.
 */
import { type Complaint, type Manifest, type ParsedFile, parseManifests } from "./manifests.ts";
import { type Check, complaintsAbout, isForUs, isUnknownKind } from "./resource-check.ts";

export type Resource = { readonly kind: string; readonly id: string; readonly resource: object };

/** By file: what was last good there. JSON, to be kept over restarts. */
export type LastGood = Readonly<Record<string, readonly Resource[]>>;

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
  readonly lastGood?: LastGood;
};

type Shelf = {
  readonly resources: readonly Resource[];
  readonly complaints: readonly Complaint[];
  readonly missing: boolean;
};

export class Library {
  readonly #options: LibraryOptions;
  readonly #shelves = new Map<string, Shelf>();
  /** Once everything was good, or was known from before, a new broken resource is only its own trouble. */
  #settled: boolean;

  constructor(options: LibraryOptions) {
    this.#options = options;
    this.#settled = options.lastGood !== undefined;
    for (const [file, resources] of Object.entries(options.lastGood ?? {})) {
      this.#shelves.set(file, { resources, complaints: [], missing: false });
    }
  }

  get files(): readonly string[] {
    return [...this.#shelves.keys()];
  }

  read(file: string, text: string): void {
    const before = this.#shelves.get(file)?.resources;
    const parsed = parseManifests({ file, text, namespace: this.#options.namespace });
    const { complaints } = parsed;
    if (complaints.length > 0) {
      const missing = before === undefined;
      this.#shelves.set(file, { resources: before ?? [], complaints, missing });
      return;
    }
    const shelf = this.#shelve(parsed.manifests, before ?? []);
    this.#shelves.set(file, keepingLost({ file, parsed, before: before ?? [], shelf }));
  }

  /** The file is there and cannot be read. */
  unreadable(file: string, why: string): void {
    const before = this.#shelves.get(file)?.resources;
    const complaint = { file, line: 1, text: `cannot be read: ${why}` };
    this.#shelves.set(file, {
      resources: before ?? [],
      complaints: [complaint],
      missing: before === undefined,
    });
  }

  remove(file: string): void {
    this.#shelves.delete(file);
  }

  view(): LibraryView {
    const resources: Resource[] = [];
    const complaints: Complaint[] = [];
    const owners = new Map<string, string>();
    let missing = false;
    for (const file of [...this.#shelves.keys()].sort()) {
      const shelf = this.#shelves.get(file) as Shelf;
      complaints.push(...shelf.complaints);
      missing ||= shelf.missing;
      for (const resource of shelf.resources) {
        const name = `${resource.kind} ${resource.id}`;
        const owner = owners.get(name);
        if (owner === undefined) {
          owners.set(name, file);
          resources.push(resource);
        } else {
          complaints.push({
            file,
            line: 1,
            text: `${name} is already in ${owner}, which counts; rename one of them`,
          });
        }
      }
    }
    if (!missing) this.#settled = true;
    return { resources, complaints, incomplete: missing && !this.#settled };
  }

  lastGood(): LastGood {
    const kept: [string, readonly Resource[]][] = [];
    for (const [file, { resources }] of this.#shelves) {
      // Secrets stay in their files: nothing of them is written elsewhere.
      kept.push([file, resources.filter(({ kind }) => kind !== "Secret")]);
    }
    return Object.fromEntries(kept);
  }

  #shelve(manifests: readonly Manifest[], before: readonly Resource[]): Shelf {
    const resources: Resource[] = [];
    const complaints: Complaint[] = [];
    let missing = false;
    for (const manifest of manifests) {
      if (!isForUs(manifest)) continue;
      const { kind, id, resource } = manifest;
      const found = complaintsAbout(manifest, this.#options.check);
      complaints.push(...found);
      if (found.length === 0 && id !== undefined) {
        resources.push({ kind, id, resource });
        continue;
      }
      const good = before.find((each) => each.kind === kind && each.id === id);
      if (good === undefined) missing = true;
      else resources.push(good);
    }
    return { resources, complaints, missing };
  }
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
  const there = new Set(shelf.resources.map(({ kind, id }) => `${kind} ${id}`));
  const lost = before.filter(({ kind, id }) => !there.has(`${kind} ${id}`));
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
  return { resources: [...shelf.resources, ...lost], complaints, missing: false };
}

function isUnfinished(manifest: Manifest): boolean {
  const { id, resource } = manifest;
  const isNamed = id !== undefined && typeof resource["apiVersion"] === "string";
  return !isNamed || isUnknownKind(manifest);
}
