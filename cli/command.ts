/** Finds the command that was meant, and shows help. */
import { type Command, fail, print, UsageError } from "./console.ts";
import { devCommand } from "./dev.ts";
import { explainCommand } from "./explain.ts";
import { hashPasswordCommand } from "./hash-password.ts";
import { lintCommand } from "./lint.ts";
import { operatorCommand } from "./operator.ts";
import { relayCommand } from "./relay.ts";
import { sendCommand } from "./send.ts";
import { version } from "./version.ts";

const commands: readonly Command[] = [
  devCommand,
  relayCommand,
  operatorCommand,
  explainCommand,
  lintCommand,
  sendCommand,
  hashPasswordCommand,
];

export async function runCommand(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    const topic = commands.find((each) => each.name === rest[0]);
    print(topic?.help ?? overview());
    return 0;
  }
  if (name === "--version" || name === "version") {
    print(`mailroute ${version}`);
    return 0;
  }
  const command = commands.find((each) => each.name === name);
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

function overview(): string {
  const width = Math.max(...commands.map((each) => each.name.length));
  const list = commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  return `mailroute ${version}: a smart host that routes mail by MailRoute resources

${list.join("\n")}

mailroute COMMAND --help explains a command. The documentation is in docs/.`;
}
