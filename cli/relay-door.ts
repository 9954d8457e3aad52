/** A running relay, asked over its local socket or over HTTP. Adapter over node:http and node:https. */
import { readFileSync } from "node:fs";
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { createInterface } from "node:readline";
import { UsageError } from "./console.ts";

export type RelayDoor =
  | { readonly kind: "socket"; readonly path: string }
  | { readonly kind: "http"; readonly url: string; readonly tokenFile: string };

export type Asked = { readonly path: string; readonly method?: string };

/** Calls `line` with each line of the answer; resolves with what is wrong in words, or undefined. */
export async function askRelay(
  door: RelayDoor,
  asked: Asked,
  line: (text: string) => void,
): Promise<string | undefined> {
  const request = knock(door, asked);
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request.once("response", resolve);
      request.once("error", reject);
      request.end();
    });
    const isGood = response.statusCode === 200;
    let words = "";
    for await (const text of createInterface({ input: response })) {
      if (isGood) line(text);
      else words += text;
    }
    return isGood ? undefined : problemIn(words, response.statusCode ?? 0);
  } catch (error) {
    return unreachable(door, error as NodeJS.ErrnoException);
  }
}

function knock(door: RelayDoor, { path, method = "GET" }: Asked): ClientRequest {
  if (door.kind === "socket") return httpRequest({ socketPath: door.path, path, method });
  if (!URL.canParse(path, door.url)) throw new UsageError(`--url ${door.url}: is not a URL`);
  const url = new URL(path, door.url);
  const token = readFileSync(door.tokenFile, "utf8").trim();
  const headers = { authorization: `Bearer ${token}` };
  return (url.protocol === "https:" ? httpsRequest : httpRequest)(url, { method, headers });
}

function problemIn(body: string, status: number): string {
  try {
    const { problem } = JSON.parse(body) as { readonly problem?: string };
    if (problem !== undefined) return problem;
  } catch {
    // No relay's answer.
  }
  return `the relay answered ${status}: ${body.slice(0, 200)}`;
}

function unreachable(door: RelayDoor, error: NodeJS.ErrnoException): string {
  const where = door.kind === "socket" ? door.path : door.url;
  if (error.code === "ENOENT" || error.code === "ECONNREFUSED")
    return `no relay answers at ${where}: is it running, and is this its spool?`;
  if (error.code === "EACCES") return `${where} is another user's: run this as the relay's user`;
  return `${where}: ${error.message}`;
}
