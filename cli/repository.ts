/**
 * A directory of manifests as one value: every document with its file and line, the compiled table, and
 * what is wrong. Adapter over the file system for `lint` and `explain`, which see it as the relay does.
 */
import { readFile } from "node:fs/promises";
import { type Complaint, type Manifest, parseManifests } from "../relay/table/manifests.ts";
import { complaintsAbout, isForUs } from "../relay/table/resource-check.ts";
import { checkResource, gather, SecretVersions } from "../relay/table/resources.ts";
import { manifestFiles } from "../relay/table/scan.ts";
import { type Compiled, compile } from "../routing/compile.ts";
import type { Installation } from "../routing/delegation.ts";
import { UsageError } from "./console.ts";

export type Repository = {
  readonly files: number;
  readonly manifests: readonly Manifest[];
  /** Not YAML, no name, against the schema, or there twice. */
  readonly complaints: readonly Complaint[];
  readonly compiled: Compiled;
};

/** Throws UsageError where the directory cannot be read. */
export async function readRepository(
  directory: string,
  installation: Installation,
): Promise<Repository> {
  const files = await manifestFiles(directory).catch((error: unknown) => {
    throw new UsageError(`cannot read the directory ${directory}: ${(error as Error).message}`);
  });
  const manifests: Manifest[] = [];
  const complaints: Complaint[] = [];
  for (const file of files) {
    const parsed = parseManifests({
      file,
      text: await readFile(file, "utf8"),
      namespace: installation.namespace,
    });
    complaints.push(...parsed.complaints);
    for (const manifest of parsed.manifests) {
      if (!isForUs(manifest)) continue;
      const found = complaintsAbout(manifest, checkResource);
      complaints.push(...found);
      if (found.length === 0) manifests.push(manifest);
    }
  }
  const unique = withoutTwins(manifests, complaints);
  const resources = unique.map(({ kind, id = "", resource }) => ({ kind, id, resource }));
  const gathered = gather(resources, new SecretVersions(() => "1"));
  const compiled = compile({ ...gathered, previous: undefined, now: Date.now(), installation });
  return { files: files.length, manifests: unique, complaints, compiled };
}

function withoutTwins(manifests: readonly Manifest[], complaints: Complaint[]): Manifest[] {
  const first = new Map<string, Manifest>();
  for (const manifest of manifests) {
    const name = `${manifest.kind} ${manifest.id}`;
    const twin = first.get(name);
    if (twin === undefined) first.set(name, manifest);
    else {
      const text = `${name} is already at ${twin.file}:${twin.line}: rename one of them`;
      complaints.push({ file: manifest.file, line: manifest.line, text });
    }
  }
  return [...first.values()];
}
