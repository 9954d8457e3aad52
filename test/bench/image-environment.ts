/** What the image sets in its processes' environment, read from the Dockerfile: so a bench measures what runs. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export function imageEnvironment(): Readonly<Record<string, string>> {
  const text = readFileSync(join(import.meta.dirname, "../../Dockerfile"), "utf8");
  const lines = text.matchAll(/^ENV (\w+)=(\S+)$/gm);
  return Object.fromEntries([...lines].map(([, name = "", value = ""]) => [name, value]));
}
