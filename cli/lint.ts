/** `mailroute lint`: what a GitOps repository's CI runs before anything reaches a cluster. */
import { parseArgs } from "node:util";
import type { Manifest } from "../relay/table/manifests.ts";
import type { RouteId } from "../routing/route.ts";
import type { Verdict } from "../routing/verdict.ts";
import { type Command, print, UsageError } from "./console.ts";
import { type Repository, readRepository } from "./repository.ts";

export const lintCommand: Command = {
  name: "lint",
  summary: "check a directory of MailRoutes as CI would",
  help: `mailroute lint DIR

Reads every YAML file below DIR and says, as file:line, what an installation would refuse:
broken YAML, fields that are wrong, names that are taken twice, two MailRoutes that claim
the same key, keys that no MailGrant gives, Secrets that are missing. Exit 1 if there is
anything to mend.

  --namespace NAME   the installation's own namespace, which may claim anything (mail)
  --class NAME       the class to check for; others are left alone (default)
  --no-delegation    every namespace may claim everything
  --allow-missing-secrets   for repositories that hold no Secrets`,
  async run(args) {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        namespace: { type: "string", default: "mail" },
        class: { type: "string", default: "default" },
        "no-delegation": { type: "boolean", default: false },
        "allow-missing-secrets": { type: "boolean", default: false },
      },
    });
    const [directory, ...more] = positionals;
    if (directory === undefined || more.length > 0)
      throw new UsageError("lint takes one directory");
    const delegation = values["no-delegation"] ? "off" : "required";
    const { namespace, class: className } = values;
    const repository = await readRepository(directory, { namespace, className, delegation });
    const findings = findingsOf(repository, { secrets: !values["allow-missing-secrets"] });
    for (const { file, line, text } of findings) print(`${file}:${line}: ${text}`);
    const routes = repository.manifests.filter(({ kind }) => kind === "MailRoute").length;
    print(`${repository.files} files, ${routes} MailRoutes, ${findings.length} to mend`);
    return findings.length === 0 ? 0 : 1;
  },
};

export type Finding = { readonly file: string; readonly line: number; readonly text: string };

/** Everything that is wrong, in order of file and line. */
export function findingsOf(
  repository: Repository,
  options: { readonly secrets: boolean },
): Finding[] {
  const places = new Map(
    repository.manifests.filter(({ kind }) => kind === "MailRoute").map((each) => [each.id, each]),
  );
  const findings: Finding[] = [...repository.complaints];
  for (const [id, verdict] of repository.compiled.verdicts) {
    const place = places.get(id);
    if (place !== undefined) findings.push(...fromVerdict({ id, verdict, place, places }, options));
  }
  findings.push(...fromGrants(repository, options));
  return findings.sort((a, b) => (a.file === b.file ? a.line - b.line : a.file < b.file ? -1 : 1));
}

/** DKIM keys of grants that cannot be used. */
function fromGrants(
  { manifests, compiled }: Repository,
  options: { readonly secrets: boolean },
): Finding[] {
  return manifests.flatMap(({ kind, id, file, lineOf }) => {
    const verdict = kind === "MailGrant" ? compiled.grantVerdicts.get(id ?? "") : undefined;
    if (verdict?.kind !== "accepted") return [];
    return (verdict.problems ?? [])
      .filter(({ message }) => options.secrets || !message.includes("does not exist"))
      .map(({ path, message }) => {
        const line = lineOf(
          path.split(/[.[\]]+/).map((part) => (/^\d+$/.test(part) ? Number(part) : part)),
        );
        return { file, line, text: `MailGrant ${id}: ${path}: ${message}` };
      });
  });
}

type Judged = {
  readonly id: RouteId;
  readonly verdict: Verdict;
  readonly place: Manifest;
  readonly places: ReadonlyMap<string | undefined, Manifest>;
};

function fromVerdict(
  { id, verdict, place, places }: Judged,
  options: { readonly secrets: boolean },
): Finding[] {
  if (verdict.kind === "other-class") return [];
  const { file } = place;
  const conflicts = verdict.conflicts.map(({ key, winner }) => {
    const other = places.get(winner);
    const where =
      other === undefined ? winner : `${winner} (${other.file}:${lineOfKey(other, key)})`;
    return {
      file,
      line: lineOfKey(place, key),
      text: `MailRoute ${id}: ${key} is claimed here and by ${where}: keep one`,
    };
  });
  const refused = verdict.refusedKeys.map(({ key, message }) => ({
    file,
    line: lineOfKey(place, key),
    text: `MailRoute ${id}: ${key}: ${message}`,
  }));
  const resolved = verdict.conditions
    .filter(
      ({ type, status, reason }) =>
        type === "ResolvedRefs" &&
        status === "False" &&
        (options.secrets || reason !== "SecretNotFound"),
    )
    .map(({ message }) => ({ file, line: place.line, text: `MailRoute ${id}: ${message}` }));
  return [...conflicts, ...refused, ...resolved];
}

/** The line of the list in which a key stands, or that of the resource. */
function lineOfKey(manifest: Manifest, key: string): number {
  const [kind = "", ...rest] = key.split(":");
  const wanted = rest.join(":");
  const list = { suffix: "suffixes", domain: "domains", address: "addresses" }[kind] ?? "";
  const spec = manifest.resource["spec"] as Record<string, unknown> | undefined;
  const values = spec?.[list];
  const index = Array.isArray(values)
    ? values.findIndex((each) => String(each).toLowerCase().replace(/\.$/, "") === wanted)
    : -1;
  return manifest.lineOf(index < 0 ? ["spec", list] : ["spec", list, index]);
}
