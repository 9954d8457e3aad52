/** A token endpoint for tests: a real HTTPS server on loopback that answers as a test says. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { fixture } from "../delivery.testkit.ts";

export type Asked = {
  readonly path: string;
  readonly form: URLSearchParams;
  readonly authorization: string | undefined;
};

export type TokenEndpoint = {
  readonly url: string;
  readonly asked: readonly Asked[];
  /** The `number`th request, from 1. */
  answer: (asked: Asked, number: number) => EndpointAnswer;
  close(): Promise<void>;
};

export type EndpointAnswer =
  | {
      readonly status: number;
      readonly body?: string;
      readonly headers?: Readonly<Record<string, string>>;
    }
  | "hang"
  | "endless"
  | "drop";

export type EndpointTls = { readonly cert: string; readonly key: string };

export const token = (text: string, expiresIn: number | undefined = 3600): EndpointAnswer => ({
  status: 200,
  body: JSON.stringify({ access_token: text, token_type: "Bearer", expires_in: expiresIn }),
});

export const refusal = (error: string, description: string): EndpointAnswer => ({
  status: 401,
  body: JSON.stringify({ error, error_description: description }),
});

const good: EndpointTls = { cert: fixture("hop.pem"), key: fixture("hop.key") };

export async function tokenEndpoint(tls: EndpointTls = good): Promise<TokenEndpoint> {
  const asked: Asked[] = [];
  const server = createServer(tls, (request, response) => {
    void bodyOf(request).then((body) => {
      const { url = "", headers } = request;
      const form = new URLSearchParams(body);
      asked.push({ path: url, form, authorization: headers.authorization });
      const [last] = asked.slice(-1);
      if (last !== undefined) reply(response, endpoint.answer(last, asked.length));
    });
  });
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const endpoint: TokenEndpoint = {
    url: `https://localhost:${port}/token`,
    asked,
    answer: (_, number) => token(`token-${number}`),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return endpoint;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function reply(response: ServerResponse, answer: EndpointAnswer): void {
  if (answer === "hang") return;
  if (answer === "drop") {
    response.socket?.destroy();
    return;
  }
  if (answer === "endless") {
    response.writeHead(200, { "content-type": "application/json" });
    const timer = setInterval(() => response.write(" ".repeat(65_536)), 1);
    response.on("close", () => clearInterval(timer));
    return;
  }
  const { status, body = "", headers = {} } = answer;
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(body);
}
