/**
 * The queue over HTTP, for the command line and for tools: lists as one JSON object a line, orders as POST. Adapter
 * over node:http: it reads the request, asks Orders, and writes the answer. Who may ask is its callers' matter.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type OrderName, type Orders, orderNames } from "../queue/orders.ts";
import { parseSelection } from "../queue/selection.ts";

const path = "/queue";
const stoppingWords =
  "the relay is stopping, and its queue may go to another relay: give the order again when it is back, or there";
const limitDefault = 100;
const limitMax = 1_000_000;

/** Whether a request is for `answerQueue`. */
export function isForQueue(url: string): boolean {
  return url === path || url.startsWith(`${path}/`) || url.startsWith(`${path}?`);
}

/** What is asked: `orders` is undefined until the relay has its queue. */
export type Desk = { readonly orders: Orders | undefined; readonly stopping: boolean };

export async function answerQueue(
  { orders, stopping }: Desk,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? "/", "http://relay");
  const [, , word, ...more] = url.pathname.split("/");
  if (orders === undefined) return problem(response, 503, "the relay is starting: ask again soon");
  if (more.length > 0) return problem(response, 404, "there is nothing here");
  if (request.method === "POST" && stopping) return problem(response, 503, stoppingWords);
  if (request.method === "POST") return await order(orders, word ?? "", { url, response });
  if (request.method !== "GET") return problem(response, 405, "GET or POST");
  if (word === undefined) return await list(orders, url.searchParams, response);
  return await show(orders, decodeURIComponent(word), { url, response });
}

type Exchange = { readonly url: URL; readonly response: ServerResponse };

async function list(
  orders: Orders,
  query: URLSearchParams,
  response: ServerResponse,
): Promise<void> {
  const parsed = parseSelection(query, { mustNarrow: false });
  if (!parsed.ok) return problem(response, 400, parsed.complaint);
  const limit = Number(query.get("limit") ?? limitDefault);
  if (!Number.isInteger(limit) || limit < 1 || limit > limitMax)
    return problem(response, 400, `limit ${query.get("limit")}: 1 to ${limitMax}`);
  const after = query.get("after") ?? undefined;
  response.writeHead(200, { "content-type": "application/x-ndjson" });
  for await (const message of orders.list(parsed.selection, { after, limit })) {
    if (response.destroyed) return;
    const isFull = !response.write(`${JSON.stringify(message)}\n`);
    if (isFull) await drained(response);
  }
  response.end();
}

async function show(orders: Orders, id: string, { url, response }: Exchange): Promise<void> {
  const message = await orders.show(id);
  if (message === undefined) {
    problem(response, 404, `${id}: there is no such message`);
    return;
  }
  const header = url.searchParams.has("header") ? await orders.header(id) : undefined;
  json(response, 200, { ...message, ...(header !== undefined && { header }) });
}

async function order(orders: Orders, name: string, { url, response }: Exchange): Promise<void> {
  if (!isOrder(name)) return problem(response, 404, `there is ${orderNames.join(", ")}`);
  const parsed = parseSelection(url.searchParams, { mustNarrow: true });
  if (!parsed.ok) return problem(response, 400, parsed.complaint);
  const { selection } = parsed;
  const isDry = url.searchParams.has("dry-run");
  const why = printable(url.searchParams.get("why") ?? "");
  json(
    response,
    200,
    isDry ? await orders.count(selection) : await orders.carryOut(name, selection, why),
  );
}

function isOrder(name: string): name is OrderName {
  return (orderNames as readonly string[]).includes(name);
}

/** It may stand in a report's header lines. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, " ").trim();
}

function problem(response: ServerResponse, status: number, text: string): void {
  json(response, status, { problem: text });
}

function json(response: ServerResponse, status: number, value: object): void {
  const body = `${JSON.stringify(value)}\n`;
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
  });
  response.end(body);
}

async function drained(response: ServerResponse): Promise<void> {
  await new Promise<void>((resolve) => {
    response.once("drain", resolve);
    response.once("close", resolve);
  });
}
