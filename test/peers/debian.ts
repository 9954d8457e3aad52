/**
 * Programs of Debian packages that tests measure us against: from PATH, or else fetched with apt-get. A
 * package is unpacked into a cache outside the tree and changes nothing on the machine, but for those that
 * need users and directories of their own: they are installed, as root only, and no service is started.
 */
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { delimiter, isAbsolute, join } from "node:path";

export type Found = { readonly path: string } | { readonly missing: string };

const fetchMsMax = 240_000;
const installed = new Set([
  "postfix",
  "libsasl2-modules",
  "dovecot-core",
  "dovecot-lmtpd",
  "dovecot-imapd",
  "dovecot-pop3d",
  "build-essential",
]);
/**
 * Those that are unpacked although they run as a user of their own, as installing them would remove what is
 * installed: the user is made, by root only, and may look into their cache.
 */
const users: Readonly<Record<string, string>> = { "exim4-daemon-light": "Debian-exim" };
const programDirectories = ["usr/sbin", "usr/bin", "sbin", "bin"];
const policyFile = "/usr/sbin/policy-rc.d";

class Unavailable extends Error {}

/** Where `program` (its name, or where it is installed) of the Debian package is, or why it cannot be had here. */
export async function ensureDebian(debianPackage: string, program: string): Promise<Found> {
  const there = onPath(program);
  if (there !== undefined) return { path: there };
  try {
    if (!existsSync("/etc/debian_version") || onPath("apt-get") === undefined) {
      throw new Unavailable("this is not Debian");
    }
    ensureUser(users[debianPackage]);
    const path = installed.has(debianPackage)
      ? install(debianPackage, program)
      : unpacked(debianPackage, program);
    return { path };
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    return {
      missing: `${program} is not on PATH, and ${error.message}: apt-get install ${debianPackage}`,
    };
  }
}

/** Of a program that starts as root, to become others. */
export async function ensureForRoot(debianPackage: string, program: string): Promise<Found> {
  if (process.getuid?.() !== 0) return { missing: `only root may run ${program}` };
  return await ensureDebian(debianPackage, program);
}

/** For the `skip` of a test. With CI=true nothing may be skipped: throws instead. */
export function skipReason(found: Found): string | false {
  if (!("missing" in found)) return false;
  if (process.env["CI"] === "true") throw new Error(`CI must not skip this test: ${found.missing}`);
  return found.missing;
}

/** Also where Debian puts daemons, which is not on everybody's PATH. */
function onPath(program: string): string | undefined {
  if (isAbsolute(program)) return existsSync(program) ? program : undefined;
  const directories = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return directories.map((directory) => join(directory, program)).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function install(debianPackage: string, program: string): string {
  if (process.getuid?.() !== 0) throw new Unavailable("only root may install packages");
  const ownPolicy = !existsSync(policyFile);
  if (ownPolicy) writeFileSync(policyFile, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    const args = ["install", "-qq", "-y", "--no-install-recommends", debianPackage];
    if (run("apt-get", args).status !== 0) {
      must("apt-get", ["update", "-qq"]);
      must("apt-get", args);
    }
  } finally {
    if (ownPolicy) rmSync(policyFile, { force: true });
  }
  const path = onPath(program);
  if (path === undefined) throw new Unavailable(`the package ${debianPackage} has no such program`);
  return path;
}

function ensureUser(user: string | undefined): void {
  if (user === undefined || run("id", [user]).status === 0) return;
  if (process.getuid?.() !== 0) throw new Unavailable(`only root may make the user ${user}`);
  must("useradd", ["--system", "--user-group", "--shell", "/usr/sbin/nologin", user]);
}

/** A script in the cache that runs the program with the libraries that were unpacked beside it. */
function unpacked(debianPackage: string, program: string): string {
  const release =
    /^VERSION_ID="?([\w.-]+)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "unknown";
  const ownCache = process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
  const cache = join(
    users[debianPackage] === undefined ? ownCache : "/var/cache",
    "mailroute/debian",
    `${release}-${process.arch}`,
  );
  const root = join(cache, debianPackage);
  const script = join(root, `run-${program}`);
  if (isProgram(script)) return script;
  mkdirSync(cache, { recursive: true });
  const fresh = mkdtempSync(join(cache, "fetching-"));
  chmodSync(fresh, 0o755);
  try {
    fetchInto(fresh, debianPackage);
    const real = programDirectories
      .map((directory) => join(directory, program))
      .find((path) => isProgram(join(fresh, path)));
    if (real === undefined)
      throw new Unavailable(`the package ${debianPackage} has no such program`);
    // With a set-user-id bit it would not be given the libraries beside it.
    chmodSync(join(fresh, real), 0o755);
    const libraries = libraryDirectories(fresh).map((directory) => join(root, directory));
    const text = `#!/bin/sh\nLD_LIBRARY_PATH=${libraries.join(":")} exec ${join(root, real)} "$@"\n`;
    writeFileSync(join(fresh, `run-${program}`), text, { mode: 0o755 });
    rmSync(root, { recursive: true, force: true });
    renameSync(fresh, root);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  return script;
}

/** The package and those of its dependencies that this machine lacks. */
function fetchInto(directory: string, debianPackage: string): void {
  let names = packagesToFetch(debianPackage);
  if (names.length === 0 && process.getuid?.() === 0) {
    must("apt-get", ["update", "-qq"]);
    names = packagesToFetch(debianPackage);
  }
  if (names.length === 0)
    throw new Unavailable(`apt-get knows no package ${debianPackage} (apt-get update)`);
  must("apt-get", ["download", "-qq", ...names], directory);
  for (const file of readdirSync(directory).filter((name) => name.endsWith(".deb"))) {
    must("dpkg-deb", ["-x", join(directory, file), directory]);
  }
}

/** From lines like 'http://.../unbound_1.17_amd64.deb' unbound_1.17_amd64.deb 952056 MD5Sum:... */
function packagesToFetch(debianPackage: string): readonly string[] {
  const args = ["install", "--print-uris", "-qq", "-y", "--no-install-recommends", debianPackage];
  const { stdout } = run("apt-get", args);
  return [...stdout.matchAll(/^'[^']+' ([^_\s]+)_\S+\.deb /gm)].map(([, name = ""]) => name);
}

function libraryDirectories(root: string): readonly string[] {
  return ["lib", "usr/lib"].flatMap((parent) => {
    const path = join(root, parent);
    const inside = existsSync(path) ? readdirSync(path) : [];
    return [
      ...inside.filter((name) => name.includes("-linux-")).map((name) => join(parent, name)),
      parent,
    ];
  });
}

function must(program: string, args: readonly string[], directory?: string): void {
  const { status, stderr } = run(program, args, directory);
  if (status === 0) return;
  const why = stderr.trim().split("\n").at(-1) ?? "";
  throw new Unavailable(`${program} ${args[0]} failed: ${why}`);
}

function run(
  program: string,
  args: readonly string[],
  directory?: string,
): SpawnSyncReturns<string> {
  return spawnSync(program, args, {
    encoding: "utf8",
    timeout: fetchMsMax,
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" },
    ...(directory !== undefined && { cwd: directory }),
  });
}
