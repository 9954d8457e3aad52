/**
 * One HTTPS request with bounds: to addresses that the caller allows, with a verified certificate, no redirect
 * followed, no more bytes read and no longer waited than said. Adapter of node:https; knows nothing of what is
 * asked or answered. Failures are values.
 */
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import type { NameResolver } from "./resolver.ts";

export type HttpsRequest = {
  readonly url: URL;
  readonly method: "GET" | "POST";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** PEM: the only CAs to trust; absent: the system's. */
  readonly ca?: string | undefined;
  readonly isAllowed: (address: string) => boolean;
  /** Also under the search domains, for names that people configured. */
  readonly search: boolean;
  readonly bytesMax: number;
  readonly msMax: number;
  readonly signal?: AbortSignal | undefined;
};

export type HttpsAnswer =
  | {
      readonly kind: "answered";
      readonly status: number;
      /** The media type alone, lower case. */
      readonly mediaType: string;
      readonly body: string;
    }
  | { readonly kind: "failed"; readonly why: string };

type Fetch = (request: HttpsRequest) => Promise<HttpsAnswer>;

const addressesMax = 4;

export function createHttps(resolver: NameResolver): Fetch {
  return async (wanted) => {
    const host = wanted.url.hostname.replace(/^\[(.*)\]$/, "$1");
    const found = await resolver.addresses(host, { search: wanted.search });
    if (found.kind !== "addresses") {
      const why = found.kind === "unanswered" ? `: ${found.reason}` : "";
      return failed(`DNS has no address of ${host}${why}`);
    }
    const allowed = found.addresses.filter(wanted.isAllowed).slice(0, addressesMax);
    if (allowed.length === 0) {
      const where = found.addresses.slice(0, 3).join(", ");
      return failed(`${host} is at ${where}, in a network that may not be reached`);
    }
    return await exchange(wanted, allowed);
  };
}

async function exchange(wanted: HttpsRequest, addresses: readonly string[]): Promise<HttpsAnswer> {
  const { url, method, headers = {}, body, ca, msMax } = wanted;
  const late = AbortSignal.timeout(msMax);
  const signal = wanted.signal === undefined ? late : AbortSignal.any([late, wanted.signal]);
  return await new Promise((resolve) => {
    const fail = (error: unknown) => resolve(failed(reasonOf(error, { late, msMax })));
    try {
      const sent = request(
        url,
        {
          ...{ method, headers, signal },
          ...(ca === undefined ? {} : { ca }),
          // A connection of its own: what it may be used for is decided anew each time.
          agent: false,
          lookup: lookupIn(addresses),
          rejectUnauthorized: true,
          maxHeaderSize: 16_384,
        },
        (response) => {
          read(response, wanted.bytesMax).then(resolve, fail);
        },
      );
      sent.on("error", fail);
      sent.end(body);
    } catch (error) {
      // A CA that is none, or a header that cannot be written.
      fail(error);
    }
  });
}

async function read(response: IncomingMessage, bytesMax: number): Promise<HttpsAnswer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Leaving the loop early destroys the connection.
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bytesMax) return failed(`it answers more than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  const [mediaType = ""] = (response.headers["content-type"] ?? "").split(";");
  return {
    kind: "answered",
    status: response.statusCode ?? 0,
    mediaType: mediaType.trim().toLowerCase(),
    body: Buffer.concat(chunks).toString(),
  };
}

function lookupIn(addresses: readonly string[]): LookupFunction {
  const all = addresses.map((address) => ({ address, family: isIP(address) }));
  return (_host, options, done) => {
    const [first] = all;
    if (options.all === true) done(null, all);
    else done(null, first?.address ?? "", first?.family ?? 0);
  };
}

function reasonOf(error: unknown, { late, msMax }: { late: AbortSignal; msMax: number }): string {
  if (late.aborted) return `no answer within ${msMax} ms`;
  if (error instanceof AggregateError) return error.errors.map(textOf).join(", ");
  return textOf(error);
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function failed(why: string): HttpsAnswer {
  return { kind: "failed", why };
}
