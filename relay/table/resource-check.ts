/**
 * Which documents of a directory are ours to judge, and what is wrong with one by itself: pure. What two of
 * them say together is compile's matter.
 */
import { type Complaint, fieldPath, isOfOurGroup, type Manifest } from "./manifests.ts";

/** What is wrong with a resource by its own schema: field and words. Empty: nothing. */
export type Check = (
  kind: string,
  resource: object,
) => readonly { readonly path: string; readonly message: string }[];

const served = new Set(["MailRoute", "MailGrant", "Namespace", "Secret"]);

/** Of a kind that we read, or of one that we should know by its apiVersion. */
export function isForUs(manifest: Manifest): boolean {
  return served.has(manifest.kind) || isOfOurGroup(manifest.resource);
}

/** Of our API group, and not one of its kinds. */
export function isUnknownKind(manifest: Manifest): boolean {
  return isOfOurGroup(manifest.resource) && !served.has(manifest.kind);
}

/** The kind, or the one that was meant by one that does not exist. */
export function kindMeant(manifest: Manifest): string {
  if (!isUnknownKind(manifest)) return manifest.kind;
  return /grant/i.test(manifest.kind) ? "MailGrant" : "MailRoute";
}

/** Of a manifest that is for us; empty where it may be used, and then it has an id. */
export function complaintsAbout(manifest: Manifest, check: Check): readonly Complaint[] {
  const { file, line, kind, id, resource } = manifest;
  if (!served.has(kind)) {
    const text = `there is no kind ${kind} in mailroute.dev: write MailRoute or MailGrant`;
    return [{ file, line, text }];
  }
  if (id === undefined) return [{ file, line, text: `${kind} without metadata.name: give it one` }];
  return check(kind, resource).map(({ path, message }) => ({
    file,
    line: manifest.lineOf(fieldPath(path)),
    text: `${kind} ${id}: ${path}: ${message}`,
  }));
}
