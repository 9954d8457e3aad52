import assert from "node:assert/strict";
import { Server } from "node:net";
import { test } from "node:test";
import { startProbes } from "./probes.ts";

const options = {
  port: 0,
  metrics: async () => "m 1\n",
  readiness: () => ({ ready: false, detail: ["why"] }),
  revision: () => ({ digest: "d" }),
};

const failure = (code: string): Error => Object.assign(new Error(`listen ${code}`), { code });

for (const code of ["EAFNOSUPPORT", "EADDRNOTAVAIL"]) {
  test(`probes: on :: they are there for IPv4 where the kernel has no IPv6 (${code})`, async (t) => {
    const listen = Server.prototype.listen;
    // This kernel has IPv6: it is taken away from this server.
    t.mock.method(Server.prototype, "listen", function (this: Server, ...args: unknown[]) {
      const { host } = args[0] as { host?: string };
      if (host !== "::" && args[1] !== "::") return Reflect.apply(listen, this, args);
      process.nextTick(() => this.emit("error", failure(code)));
      return this;
    });
    const probes = await startProbes({ ...options, host: "::" });
    try {
      const answer = await fetch(`http://127.0.0.1:${probes.port}/readyz`);
      assert.deepEqual([answer.status, await answer.text()], [503, "not ready\nwhy\n"]);
    } finally {
      await probes.close();
    }
  });
}

test("probes: a port that is taken is an error, not another address", async () => {
  const first = await startProbes({ ...options, host: "127.0.0.1" });
  try {
    const second = startProbes({ ...options, host: "127.0.0.1", port: first.port });
    await assert.rejects(second, { code: "EADDRINUSE" });
  } finally {
    await first.close();
  }
});
