/** A relay's configuration file, read for a command. Adapter over the file system. */
import { readFile } from "node:fs/promises";
import { errorText } from "../kube/error-text.ts";
import { type ConfigOverrides, type ParsedConfig, parseConfig } from "../relay/config/config.ts";
import { UsageError } from "./console.ts";

/** Throws UsageError where the file cannot be read. */
export async function readConfig(file: string, overrides?: ConfigOverrides): Promise<ParsedConfig> {
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw new UsageError(`cannot read --config ${file}: ${errorText(error)}`);
  });
  return parseConfig(text, overrides);
}
