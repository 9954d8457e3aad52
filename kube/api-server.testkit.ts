/**
 * A small HTTP server that behaves as the API server does: lists in pages, watches with bookmarks and a history
 * that runs out, resourceVersion and uid preconditions, immutable ConfigMaps, status subresources. Objects live in
 * memory, by path. Tests see every request, and may answer one themselves.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { KubeConfig } from "@kubernetes/client-node";
import { type Api, createApi, type KubeObject } from "./api.ts";

export type Asked = {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly accept: string;
  readonly body: KubeObject;
};

/** In place of the server's own answer; "cut" closes the connection without one, "none" never answers. */
export type Fault = Answer | "cut" | "none";
type Answer = { readonly status: number; readonly body?: object };

export type OpenWatch = {
  readonly asked: Asked;
  /** Bytes as they are, such as half a line. */
  write(text: string): void;
  /** Of the version that the server is at. */
  bookmark(): void;
  /** In good order, as at `timeoutSeconds`. */
  end(): void;
  cut(): void;
};

type Change = {
  readonly version: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly path: string;
  readonly object: KubeObject;
};

const requestMsMax = 1000;
const kinds: Readonly<Record<string, string>> = {
  configmaps: "ConfigMap",
  events: "Event",
  jobs: "Job",
  leases: "Lease",
  mailgrants: "MailGrant",
  mailroutes: "MailRoute",
  persistentvolumeclaims: "PersistentVolumeClaim",
  pods: "Pod",
  secrets: "Secret",
};

export class ApiServer {
  readonly api: Api;
  readonly requests: Asked[] = [];
  /** Those that are open now, the oldest first. */
  readonly watches = new Set<OpenWatch>();
  intercept: (asked: Asked) => Fault | undefined | Promise<Fault | undefined> = () => undefined;
  readonly #server: Server;
  readonly #objects = new Map<string, KubeObject>();
  readonly #feeds = new Set<(change: Change) => void>();
  #history: Change[] = [];
  #forgotten = 0;
  #version = 100;

  static async start(): Promise<ApiServer> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new ApiServer(server);
  }

  private constructor(server: Server) {
    this.#server = server;
    server.on("request", (request, response) => {
      // Whoever asked has gone: nobody is there to be answered.
      this.#serve(request, response).catch(() => response.destroy());
    });
    const { port } = server.address() as AddressInfo;
    const cluster = { name: "test", server: `http://127.0.0.1:${port}`, skipTLSVerify: true };
    const config = new KubeConfig();
    config.loadFromClusterAndUser(cluster, { name: "test" });
    this.api = createApi(config, { requestMsMax });
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
    await this.api.close();
  }

  get version(): string {
    return String(this.#version);
  }

  get(path: string): KubeObject | undefined {
    return this.#objects.get(path);
  }

  /** Paths of all objects below one, in order. */
  paths(below: string): readonly string[] {
    return [...this.#objects.keys()].filter((path) => path.startsWith(`${below}/`)).sort();
  }

  /** As somebody else writes it, without any precondition. */
  set(path: string, object: object): KubeObject {
    const before = this.#objects.get(path);
    const name = path.slice(path.lastIndexOf("/") + 1);
    const { metadata, ...rest } = object as KubeObject;
    this.#version += 1;
    const uid = before?.metadata?.["uid"] ?? `uid-${this.#version}`;
    const resourceVersion = this.version;
    const written: KubeObject = { ...rest, metadata: { ...metadata, name, uid, resourceVersion } };
    this.#objects.set(path, written);
    this.#happened(before === undefined ? "ADDED" : "MODIFIED", path, written);
    return written;
  }

  remove(path: string): void {
    const before = this.#objects.get(path);
    if (before === undefined) return;
    this.#version += 1;
    this.#objects.delete(path);
    const metadata = { ...before.metadata, resourceVersion: this.version };
    this.#happened("DELETED", path, { ...before, metadata });
  }

  /** Versions move on by what happens elsewhere in the cluster. */
  elsewhere(): void {
    this.#version += 1;
  }

  /** As by compaction: who resumes at an older version than now gets 410. */
  forgetHistory(): void {
    this.#forgotten = this.#version;
    this.#history = [];
  }

  #happened(type: Change["type"], path: string, object: KubeObject): void {
    const change = { version: this.#version, type, path, object };
    this.#history.push(change);
    for (const feed of this.#feeds) feed(change);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = await askedBy(request);
    this.requests.push(asked);
    const fault = await this.intercept(asked);
    if (fault === "none") return;
    if (fault === "cut") response.destroy();
    else if (fault !== undefined) send(response, fault);
    else if (asked.query["watch"] === "true") this.#watch(asked, response);
    else send(response, this.#answer(asked));
  }

  #answer(asked: Asked): Answer {
    const { method, path, body } = asked;
    const target = path.replace(/\/status$/, "");
    const known = this.#objects.get(target);
    const isCollection = kinds[path.slice(path.lastIndexOf("/") + 1)] !== undefined;
    if (method === "POST") {
      const created = `${path}/${String(body.metadata?.["name"])}`;
      if (this.#objects.has(created)) return failure(409, "AlreadyExists");
      return { status: 201, body: this.set(created, body) };
    }
    if (isCollection) return this.#list(asked);
    if (known === undefined) return failure(404, "NotFound");
    if (method === "GET") return { status: 200, body: known };
    const { resourceVersion, uid } = (body.metadata ?? {}) as Record<string, unknown>;
    if (resourceVersion !== undefined && resourceVersion !== known.metadata?.resourceVersion)
      return failure(409, "Conflict");
    if (uid !== undefined && uid !== known.metadata?.["uid"]) return failure(409, "Conflict");
    if (method === "DELETE") {
      this.remove(target);
      return { status: 200, body: known };
    }
    const next = method === "PATCH" ? (merged(known, body) as KubeObject) : body;
    const isChanged = ["data", "binaryData"].some(
      (field) => JSON.stringify(next[field]) !== JSON.stringify(known[field]),
    );
    if (known["immutable"] === true && isChanged) return failure(422, "Invalid");
    return { status: 200, body: this.set(target, next) };
  }

  #list({ path, query, accept }: Asked): Answer {
    const [from = 0, at = this.#version] = (query["continue"] ?? "")
      .split(":")
      .filter(Boolean)
      .map(Number);
    const all = this.paths(path)
      .map((each) => this.#objects.get(each) as KubeObject)
      .filter((object) => isSelected(object, query));
    const end = query["limit"] === undefined ? all.length : from + Number(query["limit"]);
    const kind = `${kinds[path.slice(path.lastIndexOf("/") + 1)]}List`;
    const items = all.slice(from, end).map((object) => {
      const { kind: _, apiVersion: __, ...item } = shown(object, accept);
      return item;
    });
    const metadata = {
      resourceVersion: String(at),
      ...(end < all.length && { continue: `${end}:${at}` }),
    };
    return { status: 200, body: { kind, apiVersion: versionOf(path), metadata, items } };
  }

  #watch(asked: Asked, response: ServerResponse): void {
    const since = Number(asked.query["resourceVersion"]);
    if (since < this.#forgotten) {
      send(response, failure(410, "Expired"));
      return;
    }
    const line = (type: string, object: object): boolean =>
      response.write(`${JSON.stringify({ type, object })}\n`);
    const feed = ({ type, path, object }: Change): void => {
      if (!path.startsWith(`${asked.path}/`) || !isSelected(object, asked.query)) return;
      line(type, shown(object, asked.accept));
    };
    const gone = (): void => {
      this.watches.delete(watch);
      this.#feeds.delete(feed);
    };
    const watch: OpenWatch = {
      asked,
      write: (text) => void response.write(text),
      bookmark: () => void line("BOOKMARK", { metadata: { resourceVersion: this.version } }),
      end() {
        gone();
        response.end();
      },
      cut() {
        gone();
        response.destroy();
      },
    };
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    for (const change of this.#history) if (change.version > since) feed(change);
    this.watches.add(watch);
    this.#feeds.add(feed);
    response.once("close", gone);
  }
}

async function askedBy(request: IncomingMessage): Promise<Asked> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  const url = new URL(request.url ?? "/", "http://api.test");
  return {
    method: request.method ?? "",
    path: url.pathname,
    query: Object.fromEntries(url.searchParams),
    accept: request.headers.accept ?? "",
    body: text === "" ? {} : (JSON.parse(text) as KubeObject),
  };
}

function send(response: ServerResponse, { status, body = {} }: Answer): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

export function failure(code: number, reason: string): Answer {
  return {
    status: code,
    body: { kind: "Status", status: "Failure", code, reason, message: reason },
  };
}

function isSelected(object: KubeObject, query: Readonly<Record<string, string>>): boolean {
  const [, name] = (query["fieldSelector"] ?? "").split("metadata.name=");
  if (name !== undefined && object.metadata?.["name"] !== name) return false;
  if (query["labelSelector"] === undefined) return true;
  const [key = "", value] = query["labelSelector"].split("=");
  const labels = (object.metadata?.["labels"] ?? {}) as Record<string, string>;
  return labels[key] !== undefined && (value === undefined || labels[key] === value);
}

/** As "mailroute.dev/v1alpha1", or "v1". */
function versionOf(path: string): string {
  const [, root, first = "", second = ""] = path.split("/");
  return root === "api" ? first : `${first}/${second}`;
}

/** PartialObjectMetadata is an object without the rest. */
function shown(object: KubeObject, accept: string): KubeObject {
  if (!accept.includes("as=PartialObjectMetadata")) return object;
  const { metadata = {} } = object;
  return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata };
}

/** RFC 7386. */
function merged(target: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const known = typeof target === "object" && target !== null ? target : {};
  const next: Record<string, unknown> = { ...known };
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete next[name];
    else next[name] = merged(next[name], value);
  }
  return next;
}
