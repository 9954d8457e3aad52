import assert from "node:assert/strict";
import { test } from "node:test";
import type { TokenEvent } from "../delivery/options.ts";
import type { Problem } from "../table/worker-messages.ts";
import { TokenProblems } from "./token-problems.ts";

const event: TokenEvent = {
  endpoint: "login.test:443",
  secret: "mail/app",
  result: "refused",
  why: "it refuses us, invalid_client",
  ms: 1,
};

test("token problems: one for each endpoint and Secret, mended by a token, forgotten when nobody asks", () => {
  let now = 0;
  let shown: readonly Problem[] = [];
  const board = {
    set(_source: string, problems: readonly Problem[]) {
      shown = problems;
    },
  };
  const problems = new TokenProblems({ now: () => now, board });
  problems.told(event);
  problems.told({ ...event, why: "no answer", result: "failed" });
  problems.told({ ...event, secret: "mail/other" });
  assert.deepEqual(shown, [
    {
      where: "mail/app at login.test:443",
      text: "no access token (auth.oauth2): no answer; mail of the routes that need it waits",
    },
    {
      where: "mail/other at login.test:443",
      text: "no access token (auth.oauth2): it refuses us, invalid_client; mail of the routes that need it waits",
    },
  ]);
  const { why: _, ...rest } = event;
  problems.told({ ...rest, result: "fetched" });
  assert.deepEqual(
    shown.map(({ where }) => where),
    ["mail/other at login.test:443"],
  );
  now = 2 * 3_600_000;
  problems.told(event);
  assert.deepEqual(
    shown.map(({ where }) => where),
    ["mail/app at login.test:443"],
  );
});
