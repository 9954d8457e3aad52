/**
 * A directory of manifests as one value: every document with its file and line, the compiled table, and
 * what is wrong. Adapter over the file system for `lint` and `explain`, which see it as the relay does.
 */
import { readFile } from "node:fs/promises";
import {
  type Complaint,
  fieldPath,
  type Manifest,
  parseManifests,
} from "../relay/table/manifests.ts";
import { checkResource, gather, SecretVersions } from "../relay/table/resources.ts";
import { list } from "../relay/table/scan.ts";
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

const served = new Set(["MailRoute", "MailGrant", "Namespace", "Secret"]);

/** Throws UsageError where the directory cannot be read. */
export async function readRepository(
  directory: string,
  installation: Installation,
): Promise<Repository> {
  const files = await list(directory, 0).catch((error: unknown) => {
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
      const found = complaintsOf(manifest);
      complaints.push(...found);
      if (found.length === 0 && served.has(manifest.kind)) manifests.push(manifest);
    }
  }
  const unique = withoutTwins(manifests, complaints);
  const resources = unique.map(({ kind, id = "", resource }) => ({ kind, id, resource }));
  const gathered = gather(resources, new SecretVersions(() => "1"));
  const compiled = compile({ ...gathered, previous: undefined, now: Date.now(), installation });
  return { files: files.length, manifests: unique, complaints, compiled };
}

function complaintsOf(manifest: Manifest): Complaint[] {
  const { file, line, kind, id, resource } = manifest;
  const ours = String(resource["apiVersion"] ?? "").startsWith("mailroute.dev/");
  if (!served.has(kind)) {
    const text = `there is no kind ${kind} in mailroute.dev: write MailRoute or MailGrant`;
    return ours ? [{ file, line, text }] : [];
  }
  if (id === undefined) return [{ file, line, text: `${kind} without metadata.name: give it one` }];
  return checkResource(kind, resource).map(({ path, message }) => ({
    file,
    line: manifest.lineOf(fieldPath(path)),
    text: `${kind} ${id}: ${path}: ${message}`,
  }));
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
