/**
 * Where the queue can be seen and changed: a local socket in the spool's directory and, with a token, the admin
 * port. Wires Orders to both; until the queue is there, both say so.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { errorText } from "../kube/error-text.ts";
import { showsToken } from "./control/bearer.ts";
import { answerQueue, isForQueue } from "./control/queue-api.ts";
import { listenLocally } from "./control/socket.ts";
import type { RelayState } from "./facts.ts";

type QueueSocket = {
  readonly state: RelayState;
  readonly spoolDirectory: string;
  readonly closers: AsyncDisposableStack;
};

type QueueOverHttp = {
  readonly state: RelayState;
  /** Undefined: the admin port knows nothing of the queue. */
  readonly tokenFile: string | undefined;
};

/** A socket that cannot be opened is a problem to mend, and no reason to take no mail. */
export async function openQueueSocket({
  state,
  spoolDirectory,
  closers,
}: QueueSocket): Promise<void> {
  try {
    const socket = await listenLocally(spoolDirectory, async (request, response) => {
      await answerQueue(state, request, response);
    });
    closers.defer(() => socket.close());
  } catch (error) {
    state.problems.set("queue", [{ where: "queue socket", text: errorText(error) }]);
  }
}

/** For `startProbes`. */
export function queueOverHttp({ state, tokenFile }: QueueOverHttp) {
  return (request: IncomingMessage, response: ServerResponse): Promise<void> | undefined => {
    if (tokenFile === undefined || !isForQueue(request.url ?? "")) return undefined;
    return admit(request, response, { state, tokenFile });
  };
}

async function admit(
  request: IncomingMessage,
  response: ServerResponse,
  { state, tokenFile }: { readonly state: RelayState; readonly tokenFile: string },
): Promise<void> {
  if (await showsToken(request, tokenFile)) {
    await answerQueue(state, request, response);
    return;
  }
  response.writeHead(401, { "www-authenticate": "Bearer", "content-type": "application/json" });
  response.end(`${JSON.stringify({ problem: "show the token of admin.queueTokenFile" })}\n`);
}
