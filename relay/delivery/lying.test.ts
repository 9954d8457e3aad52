/** Next hops that say what is not so: a 250 for bytes that never left us, a good-bye in the greeting's segment. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { deliveryFor, jobTo, never, routeTo } from "./delivery.testkit.ts";

/** A server of which each session is `talk`. */
async function host(context: TestContext, talk: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    talk(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Answers each command line by its first word; stops reading when `answers` has no word for it. */
function script(answers: Readonly<Record<string, string>>): (socket: Socket) => void {
  return (socket) => {
    socket.write("220 hop.test\r\n");
    socket.on("data", (chunk) => {
      for (const line of chunk.toString("latin1").split("\r\n")) {
        const answer = answers[line.slice(0, 4).toUpperCase()];
        if (answer === undefined) continue;
        socket.write(answer);
        if (answer.startsWith("354")) socket.pause();
      }
    });
  };
}

const polite = {
  EHLO: "250-hop.test\r\n250 PIPELINING\r\n",
  MAIL: "250 ok\r\n",
  RCPT: "250 ok\r\n",
};

for (const [name, data] of [
  ["in one segment with 354", "354 go on\r\n250 kept\r\n"],
  ["for nobody's body, twice", "354 go on\r\n250 kept\r\n250 kept\r\n"],
] as const) {
  test(`lying: 250 ${name} is no delivery`, async (context) => {
    const port = await host(context, script({ ...polite, DATA: data }));
    const delivery = deliveryFor();
    context.after(async () => await delivery.close({ graceMs: 0 }));
    const [outcome] = await delivery.deliver(jobTo(routeTo([{ port }]), ["a@b.test"]), never);
    assert.equal(outcome?.kind, "deferred");
    assert.equal(outcome?.kind === "deferred" && outcome.cause, "protocol");
  });
}

test("lying: 250 while most of a big message has not left us is no delivery", async (context) => {
  const port = await host(context, (socket) => {
    script({ ...polite, DATA: "354 go on\r\n" })(socket);
    socket.on("data", (chunk) => {
      if (chunk.includes("DATA\r\n")) setTimeout(() => socket.write("250 kept\r\n"), 50);
    });
  });
  const delivery = deliveryFor();
  context.after(async () => await delivery.close({ graceMs: 0 }));
  const body = Buffer.from(`Subject: big\r\n\r\n${`${"x".repeat(998)}\r\n`.repeat(16_000)}`);
  const job = jobTo(routeTo([{ port }]), ["a@b.test"], { body });
  const [outcome] = await delivery.deliver(job, never);
  assert.equal(outcome?.kind, "deferred");
});

test("lying: a host that says 421 with its EHLO answer defers, and is served again when it is well", async (context) => {
  let isWell = false;
  const port = await host(context, (socket) => {
    if (isWell) return wellBehaved(socket);
    socket.write("220 hop.test\r\n");
    socket.once("data", () => socket.end("250-hop.test\r\n250 SIZE\r\n421 4.3.2 going down\r\n"));
  });
  const delivery = deliveryFor({ limits: { restMsMin: 1, restMsMax: 1 } });
  context.after(async () => await delivery.close({ graceMs: 0 }));
  const all = await Promise.all(
    Array.from(
      { length: 30 },
      async () => await delivery.deliver(jobTo(routeTo([{ port }]), ["a@b.test"]), never),
    ),
  );
  assert.deepEqual(new Set(all.flat().map(({ kind }) => kind)), new Set(["deferred"]));
  isWell = true;
  const [outcome] = await delivery.deliver(jobTo(routeTo([{ port }]), ["a@b.test"]), never);
  assert.equal(outcome?.kind, "delivered");
});

function wellBehaved(socket: Socket): void {
  let inData = false;
  socket.write("220 hop.test\r\n");
  socket.on("data", (chunk) => {
    for (const line of chunk.toString("latin1").split("\r\n").slice(0, -1)) {
      if (inData) {
        if (line !== ".") continue;
        inData = false;
        socket.write("250 kept\r\n");
      } else if (line === "DATA") {
        inData = true;
        socket.write("354 go on\r\n");
      } else socket.write("250 ok\r\n");
    }
  });
}
