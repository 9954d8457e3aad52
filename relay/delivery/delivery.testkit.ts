/** Routes of the installation's own namespace, jobs and a delivery with short times, for tests. */
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import type { Host, Route, RouteId } from "../../routing/route.ts";
import { createDelivery, type Delivery, type DeliveryOptions, type Job } from "./delivery.ts";
import type { HopLimits } from "./options.ts";
import { createResolver } from "./resolver.ts";

export const fixture = (name: string): string =>
  readFileSync(new URL(`./fixtures/${name}`, import.meta.url), "utf8");

export const hopTls = { cert: fixture("hop.pem"), key: fixture("hop.key") };

export function routeTo(hosts: readonly Partial<Host>[], overrides: Partial<Route> = {}): Route {
  return {
    id: "mail/test" as RouteId,
    generation: 1,
    access: "Trusted",
    target: {
      kind: "hosts",
      hosts: hosts.map((host) => ({
        host: "127.0.0.1",
        port: 25,
        priority: 10,
        weight: 1,
        ...host,
      })),
    },
    protocol: "SMTP",
    tls: { mode: "Disabled" },
    delivery: {},
    retry: { initialMs: 1, maxMs: 1, expireAfterMs: 1, delayWarningAfterMs: 1 },
    reach: "anywhere",
    ...overrides,
  };
}

let jobs = 0;

export function jobTo(
  route: Route,
  recipients: readonly string[],
  overrides: Partial<Job> = {},
): Job {
  return {
    id: `job-${++jobs}`,
    sender: "sender@from.test",
    recipients,
    body: Buffer.from("Subject: test\r\n\r\nHello.\r\n"),
    eightBit: false,
    smtputf8: false,
    route,
    domain: "to.test",
    ...overrides,
  };
}

const quick: Partial<HopLimits> = {
  connectMsMax: 1500,
  greetingMsMax: 1500,
  helloMsMax: 1500,
  tlsMsMax: 1500,
  mailMsMax: 1500,
  rcptMsMax: 1500,
  dataMsMax: 1500,
  dataBlockMsMax: 1500,
  dataDoneMsMax: 1500,
  sweepMs: 20,
};

export function deliveryFor(overrides: Partial<DeliveryOptions> = {}): Delivery {
  return createDelivery({
    hostname: "relay.test",
    resolver: createResolver({ servers: ["127.0.0.1:9"], timeoutMs: 200, tries: 1 }),
    credentials: { get: () => undefined },
    events: {
      bug: (error) => {
        throw error;
      },
    },
    ...overrides,
    limits: { ...quick, ...overrides.limits },
  });
}

export const never = new AbortController().signal;

/** A port on which nobody listens. */
export async function deadPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}
