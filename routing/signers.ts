/**
 * Who signs for which domain: from the MailGrants' DKIM keys to what the table carries. Pure. A key is lent as
 * other Secrets are, under the word "dkim" in the annotation mailroute.dev/hosts; what cannot be used stays in the
 * table as unavailable, so that its domain's mail waits and does not go unsigned.
 */
import type { Delegation, GrantVerdict, Installation } from "./delegation.ts";
import type { Issue } from "./field-reader.ts";
import type { GrantedKey } from "./grants.ts";
import { hashOf } from "./hash.ts";
import { limits } from "./limits.ts";
import { suffixesOf } from "./match.ts";
import { hostsAnnotation, type Secrets } from "./references.ts";
import type { Signer } from "./route.ts";
import { type RouteTable, shardAt, signersIn } from "./table.ts";

export type Signers = {
  /** By domain. */
  readonly signers: ReadonlyMap<string, Signer>;
  /** By grant, of those that have keys. */
  readonly problems: ReadonlyMap<string, readonly Issue[]>;
};

type Surroundings = {
  readonly installation: Installation;
  readonly secrets: Secrets;
  readonly previous: RouteTable;
};

const lentAs = "dkim";
const secretKey = "dkim.key";

/** Of two grants that have a key for one domain the first by name signs. */
export function signersOf(
  { accepted, unreadable }: Pick<Delegation, "accepted" | "unreadable">,
  { installation, secrets, previous }: Surroundings,
): Signers {
  const at = { secrets, namespace: installation.namespace };
  const signers = new Map<string, Signer>();
  const problems = new Map<string, readonly Issue[]>();
  for (const { name, dkim } of accepted) {
    if (dkim.length > 0) problems.set(name, takeKeys(dkim, signers, at));
  }
  // A grant that cannot be read may have had a key: what was signed before is not sent unsigned meanwhile.
  if (unreadable.length > 0) {
    for (const before of signersIn(previous)) {
      if (!signers.has(before.domain)) signers.set(before.domain, again(before, at));
    }
  }
  return { signers, problems };
}

type At = { readonly secrets: Secrets; readonly namespace: string };

/** Adds to `signers`; returns what is wrong. */
function takeKeys(
  keys: readonly GrantedKey[],
  signers: Map<string, Signer>,
  at: At,
): readonly Issue[] {
  const issues: Issue[] = [];
  for (const [index, key] of keys.entries()) {
    const path = `spec.dkim[${index}]`;
    if (signers.has(key.domain)) {
      const message = `another key signs for ${key.domain} already: name one`;
      issues.push({ path: `${path}.domain`, message });
      continue;
    }
    const signer = signerOf(key, at);
    signers.set(key.domain, signer);
    if (signer.unavailable !== undefined) {
      issues.push({ path: `${path}.secretRef.name`, message: signer.unavailable });
    }
  }
  return issues;
}

function again(before: Signer, at: At): Signer {
  const secret = before.key?.secret.split("/")[1];
  return secret === undefined ? before : signerOf({ ...before, secret }, at);
}

/** Verdicts of accepted grants, with what is wrong with their keys. */
export function withProblems(
  verdicts: ReadonlyMap<string, GrantVerdict>,
  problems: Signers["problems"],
): ReadonlyMap<string, GrantVerdict> {
  if (problems.size === 0) return verdicts;
  const all = new Map(verdicts);
  for (const [name, issues] of problems) all.set(name, { kind: "accepted", problems: issues });
  return all;
}

function signerOf({ domain, selector, secret }: GrantedKey, { secrets, namespace }: At): Signer {
  const name = `${namespace}/${secret}`;
  const facts = secrets.get(name);
  if (facts === undefined) {
    const unavailable = `Secret ${name} does not exist: create it with ${secretKey}`;
    return { domain, selector, unavailable };
  }
  if (!facts.hosts.includes(lentAs)) {
    const all = [...facts.hosts, lentAs].sort().join(",");
    const command = `kubectl annotate secret ${secret} --namespace ${namespace} --overwrite '${hostsAnnotation}=${all}'`;
    return {
      domain,
      selector,
      unavailable: `Secret ${name} is not lent for DKIM: ${command}`.slice(
        0,
        limits.unavailableCharsMax,
      ),
    };
  }
  if (facts.problem !== undefined || !facts.keys.includes(secretKey)) {
    const what = facts.problem ?? `has no ${secretKey}: add it`;
    return { domain, selector, unavailable: `Secret ${name} ${what}` };
  }
  return { domain, selector, key: { secret: name, version: facts.version } };
}

/** For an author's canonical domain: the key of the longest domain that covers it. */
export function signerFor(table: RouteTable, domain: string): Signer | undefined {
  if (!table.hasSigners) return undefined;
  for (const suffix of suffixesOf(domain)) {
    const found = shardAt(table, hashOf(suffix)).signers.get(suffix);
    if (found !== undefined) return found;
  }
  return undefined;
}
