/** Finds the command that was meant, and shows help. */
import { type Command, fail, print, UsageError } from "./console.ts";
import { version } from "./version.ts";

/** Each is loaded when it is meant: a relay carries no operator, and `queue` no relay. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  dev: async () => (await import("./dev.ts")).devCommand,
  relay: async () => (await import("./relay.ts")).relayCommand,
  operator: async () => (await import("./operator.ts")).operatorCommand,
  explain: async () => (await import("./explain.ts")).explainCommand,
  lint: async () => (await import("./lint.ts")).lintCommand,
  queue: async () => (await import("./queue.ts")).queueCommand,
  drain: async () => (await import("./drain.ts")).drainCommand,
  send: async () => (await import("./send.ts")).sendCommand,
  "hash-password": async () => (await import("./hash-password.ts")).hashPasswordCommand,
};

export async function runCommand(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    const topic = await commandOf(rest[0]);
    print(topic?.help ?? (await overview()));
    return 0;
  }
  if (name === "--version" || name === "version") {
    print(`mailroute ${version}`);
    return 0;
  }
  const command = await commandOf(name);
  if (command === undefined)
    return fail([`there is no command "${name}"; mailroute --help lists them`]);
  if (rest.includes("--help") || rest.includes("-h")) {
    print(command.help);
    return 0;
  }
  try {
    return await command.run(rest);
  } catch (error) {
    const isUsage =
      error instanceof UsageError ||
      (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS");
    if (!isUsage) throw error;
    return fail([(error as Error).message, `mailroute ${name} --help explains it`]);
  }
}

async function commandOf(name: string | undefined): Promise<Command | undefined> {
  return name !== undefined && Object.hasOwn(commands, name) ? await commands[name]?.() : undefined;
}

async function overview(): Promise<string> {
  const all = await Promise.all(Object.values(commands).map(async (load) => await load()));
  const width = Math.max(...all.map((each) => each.name.length));
  const list = all.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  return `mailroute ${version}: a smart host that routes mail by MailRoute resources

${list.join("\n")}

mailroute COMMAND --help explains a command. The documentation is in docs/.`;
}
