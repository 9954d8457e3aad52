/** Which host and port a token URL leads to, as a Secret's annotation and a grant would name them. Pure. */
import { URL } from "node:url";
import { parseDomain, parseIp } from "./domain.ts";

export type TokenHost = { readonly host: string; readonly port: number };

/** `host` is a canonical domain or an IP address without brackets; undefined where the text is no such URL. */
export function tokenHostOf(tokenURL: string): TokenHost | undefined {
  if (!URL.canParse(tokenURL)) return undefined;
  const { hostname, port } = new URL(tokenURL);
  const name = hostname.replace(/^\[(.*)\]$/, "$1");
  const host = parseIp(name) ?? parseDomain(name);
  return host === undefined ? undefined : { host, port: port === "" ? 443 : Number(port) };
}
