/**
 * The options of a program that npm runs: adapter over its arguments. `--help` prints the comment at the program's
 * head, and so does a fault in the options, after its own words and with exit code 2.
 */
import { readFileSync } from "node:fs";
import { type ParseArgsOptionsConfig, parseArgs } from "node:util";

const help = { help: { type: "boolean", short: "h" } } as const;

/** Of the program at this path; ends the process where there is nothing to run. */
export function optionsOf<const T extends ParseArgsOptionsConfig>(program: string, options: T) {
  try {
    const { values } = parseArgs({ options });
    return values;
  } catch (error) {
    const isHelp = isHelpAsked();
    if (!isHelp) console.error(`${(error as Error).message}\n`);
    console[isHelp ? "log" : "error"](headOf(program));
    return process.exit(isHelp ? 0 : 2);
  }
}

function isHelpAsked(): boolean {
  return parseArgs({ options: help, strict: false }).values.help === true;
}

/** Its first comment, without the asterisks. */
function headOf(program: string): string {
  const [, comment = ""] = /^\/\*\*(.*?)\*\//s.exec(readFileSync(program, "utf8")) ?? [];
  return comment.replaceAll(/^ \* ?/gm, "").trim();
}
