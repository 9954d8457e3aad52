import assert from "node:assert/strict";
import { test } from "node:test";
import { compiled, hosts, mailGrant, mailRoute, way } from "./compile.testkit.ts";
import { keyCount, rightsOf, routeOf } from "./table.ts";

const corp = mailGrant("corp", { namespaces: { names: ["corp"] }, suffixes: ["corp.example"] });
const hr = mailGrant("hr", { namespaces: { names: ["hr"] }, suffixes: ["hr.corp.example"] });

test("delegation: with no grant only the installation's own namespace may claim", () => {
  const { table, verdicts } = compiled([
    mailRoute("mail/a", { suffixes: ["a.example"] }),
    mailRoute("team/b", { suffixes: ["b.example"] }),
  ]);
  assert.equal(way(table, "u@a.example"), "mail/a by suffix:a.example");
  assert.equal(way(table, "u@b.example"), "outbound");
  const verdict = verdicts.get("team/b" as never);
  assert.ok(verdict?.kind === "refused");
  assert.equal(verdict.conditions[0]?.reason, "NotPermitted");
  assert.deepEqual(verdict.keys, { claimed: 1, held: 0 });
});

test("delegation: a key belongs to the longest grant that covers it", () => {
  const { table } = compiled(
    [
      mailRoute("corp/all", {
        suffixes: ["corp.example", "hr.corp.example", "notcorp.example", "."],
        domains: ["pay.hr.corp.example", "it.corp.example", "[192.0.2.1]"],
        addresses: ["boss@hr.corp.example", "boss@corp.example"],
      }),
      mailRoute("hr/all", { suffixes: ["hr.corp.example", "corp.example"] }),
    ],
    { grants: [corp, hr] },
  );
  const cases = [
    ["u@corp.example", "corp/all by suffix:corp.example"],
    ["u@it.corp.example", "corp/all by domain:it.corp.example"],
    ["boss@corp.example", "corp/all by address:boss@corp.example"],
    ["boss@hr.corp.example", "hr/all by suffix:hr.corp.example"],
    ["u@pay.hr.corp.example", "hr/all by suffix:hr.corp.example"],
    ["u@notcorp.example", "outbound"],
    ["u@[192.0.2.1]", "unlisted-literal"],
  ];
  for (const [recipient = "", expected] of cases) assert.equal(way(table, recipient), expected);
});

test("delegation: the installation's namespace outranks everybody for an equal key", () => {
  const grants = [corp];
  const tenant = mailRoute("corp/a", { suffixes: ["corp.example"] }, "2020-01-01T00:00:00Z");
  const own = mailRoute("mail/a", { suffixes: ["corp.example"] }, "2026-01-01T00:00:00Z");
  const first = compiled([tenant], { grants });
  const second = compiled([tenant, own], { grants, previous: first.table });
  assert.equal(way(second.table, "u@corp.example"), "mail/a by suffix:corp.example");
  const third = compiled([own], { grants, previous: first.table });
  assert.equal(way(third.table, "u@corp.example"), "mail/a by suffix:corp.example");
});

test("delegation: a vanished holder whose grant is gone leaves no trace", () => {
  const both = mailGrant("both", {
    namespaces: { names: ["corp", "b"] },
    suffixes: ["corp.example"],
  });
  const onlyB = mailGrant("both", { namespaces: { names: ["b"] }, suffixes: ["corp.example"] });
  const a = mailRoute("corp/a", { suffixes: ["corp.example"] });
  const b = mailRoute("b/b", { suffixes: ["corp.example"] });
  const { table } = compiled([a], { grants: [both] });
  const next = compiled([b], { grants: [onlyB], previous: table });
  assert.equal(way(next.table, "u@corp.example"), "b/b by suffix:corp.example");
});

test("delegation: a label selector names namespaces, and unknown ones have no labels", () => {
  const selector = {
    matchLabels: { team: "a" },
    matchExpressions: [
      { key: "env", operator: "In", values: ["prod", "test"] },
      { key: "old", operator: "DoesNotExist" },
      { key: "tier", operator: "NotIn", values: ["x"] },
      { key: "team", operator: "Exists" },
    ],
  };
  const grants = [mailGrant("g", { namespaces: { selector }, suffixes: ["a.example"] })];
  const good = new Map([
    ["team", "a"],
    ["env", "prod"],
  ]);
  const cases: [ReadonlyMap<string, string> | undefined, number][] = [
    [good, 1],
    [new Map([...good, ["tier", "y"]]), 1],
    [new Map([...good, ["tier", "x"]]), 0],
    [new Map([...good, ["old", ""]]), 0],
    [new Map([["team", "a"]]), 0],
    [
      new Map([
        ["team", "b"],
        ["env", "prod"],
      ]),
      0,
    ],
    [undefined, 0],
  ];
  for (const [labels, keys] of cases) {
    const namespaces = new Map(labels && [["ns", labels]]);
    const references = { secrets: new Map(), namespaces };
    const { table } = compiled([mailRoute("ns/a", { suffixes: ["a.example"] })], {
      grants,
      references,
    });
    assert.equal(keyCount(table), keys);
  }
});

test("delegation: hosts that a grant does not allow make the keys unavailable", () => {
  const targets = {
    hosts: [
      { host: "*.corp.example", ports: [25] },
      { host: "mx.test" },
      { host: "10.1.0.0/16" },
      { host: "2001:db8::/32", ports: [2525] },
    ],
  };
  const grant = mailGrant("corp", {
    namespaces: { names: ["corp"] },
    suffixes: ["corp.example"],
    targets,
  });
  const cases: [{ host: string; port?: number }, boolean][] = [
    [{ host: "mx.corp.example" }, true],
    [{ host: "a.mx.corp.example" }, true],
    [{ host: "mx.corp.example", port: 587 }, false],
    [{ host: "corp.example" }, false],
    [{ host: "mx.notcorp.example" }, false],
    [{ host: "mx.test", port: 587 }, true],
    [{ host: "10.1.2.3" }, true],
    [{ host: "10.2.2.3" }, false],
    [{ host: "::ffff:10.1.2.3" }, true],
    [{ host: "2001:db8::1", port: 2525 }, true],
    [{ host: "2001:db8::1" }, false],
    [{ host: "127.0.0.1" }, false],
  ];
  for (const [host, isAllowed] of cases) {
    const route = mailRoute("corp/a", { suffixes: ["corp.example"], target: { hosts: [host] } });
    const { table, verdicts } = compiled([route], { grants: [grant] });
    const unavailable = routeOf(table, "corp/a" as never)?.unavailable;
    assert.equal(unavailable === undefined, isAllowed, `${JSON.stringify(host)}: ${unavailable}`);
    const verdict = verdicts.get("corp/a" as never);
    assert.ok(verdict?.kind === "accepted");
    assert.equal(verdict.conditions[1]?.reason, isAllowed ? "ResolvedRefs" : "HostNotPermitted");
  }
});

test("delegation: loopback, link-local and denied networks are for admins, unless a grant names them", () => {
  const inner = [
    "127.0.0.1",
    "127.9.9.9",
    "::1",
    "169.254.169.254",
    "fe80::1",
    "::ffff:127.0.0.1",
    "0.0.0.0",
    "10.96.0.1",
    "localhost",
    "a.localhost",
    "kubernetes.default.svc",
  ];
  const tight = {
    namespace: "mail",
    className: "default",
    delegation: "required",
    deniedNetworks: ["10.96.0.0/12"],
  } as const;
  const any = mailGrant("any", {
    namespaces: { names: ["corp"] },
    suffixes: ["corp.example"],
    targets: { hosts: [{ host: "*" }] },
  });
  const named = mailGrant("named", {
    namespaces: { names: ["corp"] },
    suffixes: ["corp.example"],
    targets: { hosts: [{ host: "127.0.0.0/8" }] },
  });
  const refusal = (id: string, host: string, grants: (typeof any)[]) => {
    const route = mailRoute(id, { suffixes: ["corp.example"], target: hosts(host) });
    return routeOf(compiled([route], { grants, installation: tight }).table, id as never)
      ?.unavailable;
  };
  for (const host of inner) {
    assert.ok(refusal("corp/a", host, [corp]), host);
    assert.ok(refusal("corp/a", host, [any]), host);
    assert.equal(refusal("mail/a", host, []), undefined, host);
  }
  assert.equal(refusal("corp/a", "127.0.0.1", [named]), undefined);
});

test("delegation: a relay learns which inner networks a route's names may turn out to be in", () => {
  const inside = mailGrant("in", {
    namespaces: { names: ["corp"] },
    suffixes: ["corp.example"],
    targets: { hosts: [{ host: "*" }, { host: "10.0.0.0/8" }] },
  });
  const reach = (id: string, grants: (typeof inside)[]) =>
    routeOf(
      compiled([mailRoute(id, { suffixes: ["corp.example"] })], { grants }).table,
      id as never,
    )?.reach;
  assert.equal(reach("mail/a", []), "anywhere");
  assert.equal(reach("corp/a", [corp]), undefined);
  assert.deepEqual(reach("corp/a", [inside]), ["10.0.0.0/8"]);
});

test("delegation: where it is off every namespace reaches as far as the installation's own", () => {
  const route = mailRoute("corp/a", { suffixes: ["corp.example"] });
  const off = { namespace: "mail", className: "default", delegation: "off" } as const;
  const { table } = compiled([route], { installation: off });
  assert.equal(routeOf(table, "corp/a" as never)?.reach, "anywhere");
});

test("delegation: access Anyone needs a grant that allows it", () => {
  const route = mailRoute("corp/a", {
    suffixes: ["corp.example"],
    access: "Anyone",
    target: { inbound: {} },
  });
  const refused = routeOf(compiled([route], { grants: [corp] }).table, "corp/a" as never);
  assert.equal(refused?.access, "Trusted");
  assert.match(refused?.unavailable ?? "", /does not allow Anyone/);
  const open = mailGrant("corp", {
    namespaces: { names: ["corp"] },
    suffixes: ["corp.example"],
    allowAnyone: true,
  });
  const allowed = routeOf(compiled([route], { grants: [open] }).table, "corp/a" as never);
  assert.equal(allowed?.access, "Anyone");
  assert.equal(allowed?.unavailable, undefined);
});

test("delegation: limits of a grant refuse the youngest", () => {
  const grant = mailGrant("corp", {
    namespaces: { names: ["corp"] },
    suffixes: ["corp.example"],
    limits: { routes: 2, keys: 3 },
  });
  const route = (name: string, ...domains: string[]) =>
    mailRoute(`corp/${name}`, { domains: domains.map((text) => `${text}.corp.example`) });
  const { table, verdicts } = compiled(
    [route("a", "1", "2"), route("b", "3", "4"), route("c", "5")],
    {
      grants: [grant],
    },
  );
  assert.equal(keyCount(table), 3);
  const held = ["corp/a", "corp/b", "corp/c"].map((id) => {
    const verdict = verdicts.get(id as never);
    return verdict?.kind === "other-class" ? undefined : verdict?.keys.held;
  });
  assert.deepEqual(held, [2, 1, 0]);
});

test("delegation: a grant that is broken widens nothing, and who holds a key keeps it as it was", () => {
  const route = mailRoute("hr/a", { suffixes: ["hr.corp.example"], target: hosts("one.example") });
  const edited = mailRoute("hr/a", { suffixes: ["hr.corp.example"], target: hosts("two.example") });
  const grabber = mailRoute("corp/a", { suffixes: ["hr.corp.example"] });
  const first = compiled([route], { grants: [corp, hr] });
  const broken = mailGrant("hr", { namespaces: 7, suffixes: ["hr.corp.example"] });
  const next = compiled([edited, grabber], { grants: [corp, broken], previous: first.table });
  assert.deepEqual(next.table, first.table);
  assert.equal(next.grantVerdicts.get("hr")?.kind, "invalid");
  assert.equal(keyCount(compiled([route, grabber], { grants: [corp, broken] }).table), 0);
});

test("delegation: senders come from the grants that name the namespace", () => {
  const grant = mailGrant("g", {
    namespaces: { names: ["app"] },
    suffixes: ["app.example"],
    senders: { domains: ["app.example"], addresses: ["Noreply@corp.example"] },
    limits: { messagesPerHour: 100 },
  });
  const namespaces = new Map([
    ["app", new Map()],
    ["other", new Map()],
  ]);
  const references = { secrets: new Map(), namespaces };
  const { table } = compiled([], { grants: [grant], references });
  const rights = (namespace: string) => rightsOf(table, namespace);
  assert.deepEqual(rights("app"), {
    senders: ["address:noreply@corp.example", "domain:app.example"],
    messagesPerHour: 100,
  });
  assert.deepEqual(rights("other"), { senders: [] });
  assert.deepEqual(rights("nowhere"), { senders: [] });
  // Who may claim anything may send as anybody: our own namespace.
  assert.deepEqual(rights("mail"), { senders: ["suffix:."] });
});
