/** Random worlds for property tests: few names, so that keys collide, nest and shadow each other. */
import * as fc from "fast-check";
import { address, mailGrant, mailRoute } from "./compile.testkit.ts";

const domain = fc
  .array(fc.constantFrom("a", "b", "c", "constructor"), { minLength: 1, maxLength: 4 })
  .map((labels) => labels.join("."));
const name = fc.oneof(
  { arbitrary: domain, weight: 9 },
  fc.constantFrom("[192.0.2.1]", "[IPv6:::2]"),
);
const local = fc.constantFrom("u", "U", "u+t", "u+t+v", "+u", "v", "ä");
export const mailbox = fc.tuple(local, name).map(([part, at]) => address(`${part}@${at}`));
const suffix = fc.oneof({ arbitrary: domain, weight: 9 }, fc.constant("."));
const some = <T>(item: fc.Arbitrary<T>) => fc.array(item, { maxLength: 3 });
const lists = fc
  .record({
    suffixes: some(suffix),
    domains: some(name),
    addresses: some(fc.tuple(local, domain).map((parts) => parts.join("@"))),
  })
  .filter((spec) => Object.values(spec).some((list) => list.length > 0));
const spec = fc.record(
  {
    suffixes: some(suffix),
    domains: some(name),
    addresses: some(fc.tuple(local, domain).map((parts) => parts.join("@"))),
    senders: lists,
    target: fc.constantFrom<unknown>(
      { inbound: {} },
      { discard: {} },
      { hosts: [{ host: "0x7f.1" }] },
    ),
    className: fc.constantFrom("default", "other"),
  },
  { requiredKeys: ["suffixes", "domains", "addresses"] },
);
const route = fc
  .tuple(
    fc.constantFrom("mail", "x", "y"),
    fc.constantFrom("r1", "r2", "r3"),
    spec,
    fc.constantFrom(undefined, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
  )
  .map(([namespace, id, body, created]) => mailRoute(`${namespace}/${id}`, body, created));
export const routes = fc.array(route, { maxLength: 8 });
const grant = fc
  .tuple(
    fc.constantFrom("g1", "g2", "g3"),
    some(suffix),
    fc.constantFrom<unknown>(
      { names: ["x"] },
      { names: ["y"] },
      { names: [7] },
      { selector: { matchLabels: { team: "a" } } },
    ),
    fc.constantFrom({}, {}, { keys: 2 }, { messagesPerHour: 5 }),
    fc.constantFrom({}, { senders: { domains: ["a"] } }, { senders: { domains: ["b", "a"] } }),
  )
  .map(([id, suffixes, namespaces, limits, senders]) =>
    mailGrant(id, { namespaces, suffixes, limits, ...senders }),
  );
export const grants = fc.uniqueArray(grant, { maxLength: 3, selector: ({ name: id }) => id });
const delegation = fc.constantFrom("required" as const, "off" as const);
export const world = fc.record({ routes, grants, delegation });
