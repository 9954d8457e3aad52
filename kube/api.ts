/**
 * The Kubernetes API over HTTP: requests with the credentials of @kubernetes/client-node's KubeConfig, one
 * long-lived agent for all of them. Adapter: answers are values, also the API server's refusals; it only
 * throws where no answer came. Watching is reflector.ts's matter.
 */
import type { Agent as HttpsAgent } from "node:https";
import type { KubeConfig } from "@kubernetes/client-node";
import { Agent, type Dispatcher, request } from "undici";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** The media type says what kind of patch (RFC 7386, or server-side apply). */
export type ContentType =
  | "application/json"
  | "application/merge-patch+json"
  | "application/apply-patch+yaml";

export type ApiRequest = {
  readonly method?: Method;
  /** From the root, as "/api/v1/namespaces/mail/configmaps". */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean>>;
  readonly body?: object;
  readonly contentType?: ContentType;
  /** The media type wanted, where it is not plain JSON of the object. */
  readonly accept?: string;
  /** Of the answer; 256 MiB where it is not said. */
  readonly answerBytesMax?: number;
  readonly signal?: AbortSignal;
};

export type ApiAnswer = {
  /** HTTP status; 2xx is success. */
  readonly status: number;
  /** The object, or a Status of kind "Status" with `reason` and `message`. */
  readonly body: KubeObject;
};

export type KubeObject = {
  readonly kind?: string;
  readonly apiVersion?: string;
  readonly metadata?: Readonly<Record<string, unknown>> & { readonly resourceVersion?: string };
  readonly reason?: string;
  readonly message?: string;
  readonly [field: string]: unknown;
};

export type ApiOptions = {
  readonly requestMsMax: number;
  /** How long what the KubeConfig names (a token's file, an authority's) is used before it is read again. */
  readonly credentialsMs?: number;
  /** Called after each answered request, for metrics. */
  readonly observe?: (request: {
    readonly method: Method;
    readonly status: number;
    readonly bytes: number;
  }) => void;
};

export type Api = {
  /** Throws AnswerTooLarge before it has read more than answerBytesMax. */
  request(options: ApiRequest): Promise<ApiAnswer>;
  /** Bytes of a response as they come: for watches. Throws ApiError for other answers than 200. */
  stream(options: ApiRequest & { readonly signal: AbortSignal }): Promise<AsyncIterable<Buffer>>;
  close(): Promise<void>;
};

/** The API server answered, and not with what was asked for. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** There is more of it than was asked for: whoever lists asks for fewer. */
export class AnswerTooLarge extends Error {
  override readonly name = "AnswerTooLarge";
}

const credentialsMsDefault = 30_000;
const keepAliveMs = 60_000;
const answerBytesMaxDefault = 256 * 1024 * 1024;

export function createApi(config: KubeConfig, options: ApiOptions): Api {
  const server = config.getCurrentCluster()?.server;
  if (server === undefined) throw new TypeError("the kubeconfig names no cluster");
  const access = new Access(config, options);
  const send = async (asked: ApiRequest, signal: AbortSignal): Promise<Dispatcher.ResponseData> => {
    const url = new URL(asked.path, server);
    for (const [name, value] of Object.entries(asked.query ?? {}))
      url.searchParams.set(name, String(value));
    const { dispatcher, headers: authorization } = await access.now();
    const contentType = asked.contentType ?? "application/json";
    return await request(url, {
      method: asked.method ?? "GET",
      dispatcher,
      signal,
      headers: {
        accept: asked.accept ?? "application/json",
        ...(asked.body !== undefined && { "content-type": contentType }),
        ...authorization,
      },
      ...(asked.body !== undefined && { body: JSON.stringify(asked.body) }),
    });
  };
  return {
    async request(asked) {
      const timeout = AbortSignal.timeout(options.requestMsMax);
      const signal =
        asked.signal === undefined ? timeout : AbortSignal.any([asked.signal, timeout]);
      const response = await send(asked, signal);
      const text = await readText(response.body, asked.answerBytesMax);
      const { statusCode: status } = response;
      options.observe?.({ method: asked.method ?? "GET", status, bytes: text.length });
      return { status, body: parsed(text) };
    },
    async stream(asked) {
      const response = await send(asked, asked.signal);
      if (response.statusCode === 200) return response.body;
      const { message = "no words" } = parsed(await readText(response.body));
      throw new ApiError(response.statusCode, message);
    },
    close: async () => await access.close(),
  };
}

type Headers = Readonly<Record<string, string>>;

/**
 * The agent, and the headers that authorize a request: read again now and then, since tokens run out, and
 * certificates and the cluster's authority are renewed. With those the agent is another one.
 */
class Access {
  readonly #config: KubeConfig;
  readonly #options: ApiOptions;
  #agent: Agent | undefined;
  /** What the agent was made of. */
  #tls = "";
  #headers: Headers = {};
  #readMs = Number.NEGATIVE_INFINITY;

  constructor(config: KubeConfig, options: ApiOptions) {
    this.#config = config;
    this.#options = options;
  }

  async now(): Promise<{ readonly dispatcher: Agent; readonly headers: Headers }> {
    const nowMs = performance.now();
    const { credentialsMs = credentialsMsDefault } = this.#options;
    if (this.#agent !== undefined && nowMs - this.#readMs < credentialsMs) {
      return { dispatcher: this.#agent, headers: this.#headers };
    }
    const read: { headers?: Record<string, string>; agent?: HttpsAgent } & Record<string, unknown> =
      {};
    await this.#config.applyToHTTPSOptions(read as never);
    this.#headers = Object.fromEntries(
      Object.entries(read.headers ?? {}).map(([name, value]) => [name, String(value)]),
    );
    this.#readMs = nowMs;
    return { dispatcher: this.#agentFor(tlsOf(read)), headers: this.#headers };
  }

  #agentFor(connect: object): Agent {
    const tls = JSON.stringify(connect);
    const before = this.#agent;
    if (before !== undefined && tls === this.#tls) return before;
    const agent = new Agent({
      connect,
      keepAliveTimeout: keepAliveMs,
      bodyTimeout: 0,
      headersTimeout: this.#options.requestMsMax,
    });
    this.#agent = agent;
    this.#tls = tls;
    // Requests under way, watches among them, end on the connection that they have.
    void before?.close();
    return agent;
  }

  async close(): Promise<void> {
    await this.#agent?.close();
  }
}

async function readText(
  body: AsyncIterable<Buffer>,
  bytesMax = answerBytesMaxDefault,
): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new AnswerTooLarge(`an answer of more than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** Proxies before the API server answer in HTML: that is a Status without an object. */
function parsed(text: string): KubeObject {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as KubeObject;
  } catch {
    // falls through
  }
  return { kind: "Status", message: text.slice(0, 500) };
}

function tlsOf(options: Readonly<Record<string, unknown>>): object {
  const { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername } = options;
  const all = { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername, keepAlive: true };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}
