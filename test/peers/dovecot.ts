/**
 * A Dovecot of its own in a scratch directory, a child of this process: a mail store that takes mail by LMTP and
 * gives it back by IMAP and POP3, and a judge of passwords for Postfix. Needs root, as Dovecot does. Its
 * configuration is that of Dovecot 2.3; 2.4 has another.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureForRoot, type Found } from "./debian.ts";
import { freePort, greets } from "./ports.ts";

export type Mailbox = {
  /** The whole address. */
  readonly user: string;
  readonly password: string;
  readonly quotaBytes?: number;
};

export type Dovecot = {
  readonly ports: Ports;
  /** Where its mail lies; to change whose it is. */
  homeOf(user: string): string;
  log(): string;
  close(): Promise<void>;
};

type Ports = {
  readonly lmtp: number;
  /** IMAP over TLS from the first byte. */
  readonly imaps: number;
  /** In clear text. */
  readonly pop3: number;
  /** As Postfix's smtpd_sasl_path asks it, over TCP. */
  readonly auth: number;
};

export type DovecotOptions = {
  readonly mailboxes: readonly Mailbox[];
  readonly certificateFile: string;
  readonly keyFile: string;
  /** More lines of its configuration. */
  readonly settings?: readonly string[];
};

/** Debian's user for mail: Dovecot keeps none as root. */
const mailUser = "mail";
const packages = [
  ["dovecot-core", "/usr/sbin/dovecot"],
  ["dovecot-lmtpd", "/usr/lib/dovecot/lmtp"],
  ["dovecot-imapd", "/usr/lib/dovecot/imap"],
  ["dovecot-pop3d", "/usr/lib/dovecot/pop3"],
] as const;
const [[, program]] = packages;

export async function ensureDovecot(): Promise<Found> {
  for (const [debianPackage, path] of packages) {
    const found = await ensureForRoot(debianPackage, path);
    if ("missing" in found) return found;
  }
  const version = spawnSync(program, ["--version"], { encoding: "utf8" }).stdout.trim();
  if (version.startsWith("2.3.")) return { path: program };
  return { missing: `Dovecot ${version} is here, and the test knows how to configure 2.3` };
}

/** Rejects with what it has logged where it does not start. */
export async function startDovecot(options: DovecotOptions): Promise<Dovecot> {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-dovecot-"));
  chmodSync(directory, 0o755);
  const homes = join(directory, "homes");
  mkdirSync(homes);
  execFileSync("chown", [`${mailUser}:`, homes]);
  const homeOf = (user: string): string => join(homes, user);
  const ports: Ports = {
    lmtp: await freePort(),
    imaps: await freePort(),
    pop3: await freePort(),
    auth: await freePort(),
  };
  const users = options.mailboxes.map(({ user, password, quotaBytes }) => {
    const quota = quotaBytes === undefined ? "" : `userdb_quota_rule=*:bytes=${quotaBytes}`;
    // name:password:uid:gid:gecos:home:shell:more
    return [user, `{PLAIN}${password}`, "", "", "", homeOf(user), "", quota].join(":");
  });
  writeFileSync(join(directory, "users"), `${users.join("\n")}\n`);
  const file = join(directory, "dovecot.conf");
  writeFileSync(file, configuration(options, { directory, ports }));
  const child = spawn(program, ["-F", "-c", file], { stdio: ["ignore", "ignore", "pipe"] });
  let words = "";
  child.stderr.on("data", (chunk: Buffer) => {
    words = (words + chunk.toString()).slice(-4000);
  });
  const log = (): string => {
    const logFile = join(directory, "log");
    return existsSync(logFile) ? readFileSync(logFile, "utf8") : "";
  };
  const close = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      await ended;
    }
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    for (const port of [ports.lmtp, ports.pop3]) await greets(port, "Dovecot greets");
  } catch (cause) {
    const said = words + log();
    await close();
    throw new Error(`Dovecot does not start: ${said}`, { cause });
  }
  return { ports, homeOf, log, close };
}

type Place = { readonly directory: string; readonly ports: Ports };

function configuration(options: DovecotOptions, { directory, ports }: Place): string {
  const { certificateFile, keyFile, settings = [] } = options;
  const inet = (name: string, port: number, more = ""): string =>
    `  inet_listener ${name} {\n    address = 127.0.0.1\n    port = ${port}\n${more}  }`;
  const service = (name: string, ...lines: string[]): string =>
    [`service ${name} {`, ...lines, "}"].join("\n");
  return [
    `base_dir = ${directory}/run`,
    `state_dir = ${directory}/state`,
    `log_path = ${directory}/log`,
    "protocols = lmtp imap pop3",
    `mail_uid = ${mailUser}`,
    `mail_gid = ${mailUser}`,
    "first_valid_uid = 1",
    "first_valid_gid = 1",
    "mail_location = maildir:~/mail",
    "mail_plugins = quota",
    "disable_plaintext_auth = no",
    "ssl = yes",
    `ssl_cert = <${certificateFile}`,
    `ssl_key = <${keyFile}`,
    "passdb {\n  driver = passwd-file",
    `  args = ${directory}/users\n}`,
    "userdb {\n  driver = passwd-file",
    `  args = ${directory}/users\n}`,
    "plugin {\n  quota = maildir:User quota\n}",
    service("lmtp", inet("lmtp", ports.lmtp)),
    service("auth", inet("auth", ports.auth)),
    service(
      "imap-login",
      "  inet_listener imap {\n    port = 0\n  }",
      inet("imaps", ports.imaps, "    ssl = yes\n"),
    ),
    service("pop3-login", inet("pop3", ports.pop3), "  inet_listener pop3s {\n    port = 0\n  }"),
    ...settings,
    "",
  ].join("\n");
}
