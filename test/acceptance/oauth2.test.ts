/** A whole relay that logs in by OAuth2: real token endpoint, real next hop, Secrets in its routes' directory. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { fixture, hopTls } from "../../relay/delivery/delivery.testkit.ts";
import { type Misbehaving, misbehaving } from "../../relay/delivery/misbehaving.testkit.ts";
import {
  refusal,
  type TokenEndpoint,
  token,
  tokenEndpoint,
} from "../../relay/delivery/oauth2/token-endpoint.testkit.ts";
import {
  eventually,
  hostsRoute,
  type RelayProcess,
  relayProcess,
} from "../ledger/relay-process.ts";
import { send } from "./client.ts";
import { drained, logged } from "./hosts.ts";

describe("OAuth2", { timeout: 120_000 }, () => {
  let endpoint: TokenEndpoint;
  let next: Misbehaving;
  let relay: RelayProcess;
  const bearers = new Set(["relay@from.test old-token"]);

  const secret = (clientSecret: string): object => {
    const hosts = `127.0.0.1:${next.port},${new URL(endpoint.url).host}`;
    return {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "app", namespace: "mail", annotations: { "mailroute.dev/hosts": hosts } },
      stringData: {
        username: "relay@from.test",
        "client-secret": clientSecret,
        "ca.crt": fixture("ca.pem"),
      },
    };
  };
  const readyz = async (): Promise<string> => {
    const answer = await fetch(`http://127.0.0.1:${relay.adminPort()}/readyz`);
    return await answer.text();
  };

  before(async () => {
    endpoint = await tokenEndpoint();
    endpoint.answer = ({ form }) => {
      const shown = form.get("client_secret");
      if (shown === "old") return token("old-token");
      return shown === "new" ? token("new-token") : refusal("invalid_client", "secret expired");
    };
    next = await misbehaving({ tls: hopTls, bearers });
    relay = relayProcess({ retry: { initialMs: 200, maxMs: 500 }, delivery: { idleMsMax: 100 } });
    relay.routes("secret.yaml", [secret("old")]);
    const oauth2 = { tokenURL: endpoint.url, clientID: "app", secretRef: { name: "app" } };
    relay.routes("route.yaml", [
      hostsRoute("cloud", { domains: ["to.test"] }, [{ host: "127.0.0.1", port: next.port }], {
        tls: { mode: "Verified", caSecretRef: { name: "app" } },
        auth: { oauth2 },
        retry: { initial: "1s", max: "1s" },
      }),
    ]);
    await relay.start();
  });
  after(async () => {
    await relay?.close();
    await next?.close();
    await endpoint?.close();
  });

  test("OAuth2: mail goes out with a token for the Secret's client", async () => {
    await send(relay.port(), { to: ["a@to.test"] });
    await drained(relay);
    assert.equal(next.messages.at(-1)?.login, "relay@from.test old-token");
    assert.equal(logged(relay, "connected", { mechanism: "XOAUTH2" }).length, 1);
    assert.equal(logged(relay, "token", { result: "fetched", secret: "mail/app" }).length, 1);
  });

  test("OAuth2: a client whose secret has expired is a problem, its mail waits, and a new Secret mends it with no restart", async () => {
    relay.routes("secret.yaml", [secret("0ld-and-gone")]);
    const before = next.messages.length;
    await eventually(
      async () => {
        await send(relay.port(), { from: "sender@to.test", to: ["b@to.test"] });
        return logged(relay, "deferred", { cause: "auth" }).length > 0;
      },
      { msMax: 20_000, everyMs: 300, what: "deferred for want of a token" },
    );
    assert.match(
      await readyz(),
      /mail\/app at localhost:\d+: no access token \(auth\.oauth2\): it refuses us, invalid_client: secret expired/,
    );
    const [deferred] = logged(relay, "deferred", { cause: "auth" });
    assert.doesNotMatch(String(deferred?.["text"]), /invalid_client|secret expired/);
    bearers.add("relay@from.test new-token");
    relay.routes("secret.yaml", [secret("new")]);
    await drained(relay);
    assert.ok(next.messages.length > before);
    assert.equal(next.messages.at(-1)?.login, "relay@from.test new-token");
    assert.doesNotMatch(await readyz(), /no access token/);
    assert.deepEqual(logged(relay, "bounced"), []);
    assert.doesNotMatch(JSON.stringify(relay.log()), /new-token|old-token|0ld-and-gone/);
  });
});
