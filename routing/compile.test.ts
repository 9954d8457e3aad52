import assert from "node:assert/strict";
import { test } from "node:test";
import { compiled, hosts, mailGrant, mailRoute, matched, way } from "./compile.testkit.ts";
import type { CompileInput } from "./compile.ts";
import { keyOf } from "./key.ts";
import { holderOf, keyCount, routeOf } from "./table.ts";
import type { Verdict } from "./verdict.ts";

const off = { namespace: "mail", className: "default", delegation: "off" } as const;
const T1 = "2026-01-01T00:00:00Z";
const T2 = "2026-02-01T00:00:00Z";

function accepted(verdict: Verdict | undefined): string {
  if (verdict === undefined || verdict.kind === "other-class") return verdict?.kind ?? "none";
  return `${verdict.conditions[0]?.reason} ${verdict.keys.held}/${verdict.keys.claimed}`;
}

test("compile: a bad resource costs its neighbours nothing and says where and how to mend it", () => {
  const { table, verdicts } = compiled([
    mailRoute("mail/bad", { suffixes: ["no spaces.example"] }),
    mailRoute("mail/good", { suffixes: ["good.example"] }),
  ]);
  assert.equal(way(table, "u@good.example"), "mail/good by suffix:good.example");
  const verdict = verdicts.get("mail/bad" as never);
  assert.ok(verdict?.kind === "invalid");
  assert.equal(verdict.issues[0]?.path, "spec.suffixes[0]");
  assert.match(verdict.issues[0]?.message ?? "", /must be a domain name such as/);
});

test("compile: what patterns cannot say is said by the verdict", () => {
  const cases: [Record<string, unknown>, string][] = [
    [{ domains: ["example.0x7f"] }, "spec.domains[0]"],
    [{ domains: ["xn--a.example"] }, "spec.domains[0]"],
    [{ suffixes: ["corp.127"] }, "spec.suffixes[0]"],
    [{ addresses: ["a..b@corp.example"] }, "spec.addresses[0]"],
    [{ domains: ["a.example"], target: hosts("0x7f.1") }, "spec.target.hosts[0].host"],
    [{ domains: ["a.example"], target: hosts("1:2") }, "spec.target.hosts[0].host"],
    [{ domains: ["a.example"], heloName: "1.2.3.4" }, "spec.heloName"],
    [{ domains: ["a.example"], target: { mx: { domain: "1.2" } } }, "spec.target.mx.domain"],
    [{ domains: ["a.example"], retry: { initial: "2h" } }, "spec.retry.initial"],
    [{ domains: ["a.example"], retry: { expireAfter: "31d" } }, "spec.retry.expireAfter"],
    [{ domains: ["a.example"], senders: { domains: ["b.1"] } }, "spec.senders.domains[0]"],
  ];
  for (const [spec, path] of cases) {
    const verdict = compiled([mailRoute("mail/x", spec)]).verdicts.get("mail/x" as never);
    assert.ok(verdict?.kind === "invalid", JSON.stringify(spec));
    assert.equal(verdict.issues[0]?.path, path);
  }
});

test("compile: what a route does not say has its default", () => {
  const { table } = compiled([
    mailRoute("mail/smtp", { domains: ["a.example"], target: hosts("MX.example.") }),
    mailRoute("mail/lmtp", { domains: ["b.example"], protocol: "LMTP" }),
  ]);
  assert.deepEqual(routeOf(table, "mail/smtp" as never), {
    id: "mail/smtp",
    generation: 0,
    access: "Trusted",
    target: { kind: "hosts", hosts: [{ host: "mx.example", port: 25, priority: 10, weight: 1 }] },
    protocol: "SMTP",
    tls: { mode: "Opportunistic" },
    delivery: {},
    retry: {
      initialMs: 60_000,
      maxMs: 3_600_000,
      expireAfterMs: 432_000_000,
      delayWarningAfterMs: 14_400_000,
    },
    reach: "anywhere",
  });
  const lmtp = routeOf(table, "mail/lmtp" as never);
  assert.equal(lmtp?.target.kind === "hosts" && lmtp.target.hosts[0]?.port, 24);
});

test("compile: a bad resource keeps its last good state, or its readable keys as unavailable", () => {
  const good = mailRoute("mail/a", { suffixes: ["a.example"], target: hosts("one.example") });
  const bad = mailRoute("mail/a", { suffixes: ["a.example"], target: hosts("not a host") });
  const first = compiled([good]);
  const second = compiled([bad], { previous: first.table });
  assert.deepEqual(second.table, first.table);
  assert.equal(accepted(second.verdicts.get("mail/a" as never)), "Invalid 1/1");
  const cold = compiled([bad]);
  const found = matched(cold.table, "u@a.example");
  assert.ok(found.kind === "route");
  assert.match(found.route.unavailable ?? "", /spec\.target\.hosts\[0\]\.host/);
  assert.deepEqual(compiled([bad], { previous: cold.table }).table, cold.table);
});

test("compile: two resources of one name are both refused, and their keys do not fall through", () => {
  const twice = [
    mailRoute("mail/a", { suffixes: ["a.example"] }),
    mailRoute("mail/a", { suffixes: ["b.example"] }),
  ];
  const { table, verdicts } = compiled(twice);
  assert.equal(accepted(verdicts.get("mail/a" as never)), "Invalid 2/2");
  assert.ok(routeOf(table, "mail/a" as never)?.unavailable);
  assert.deepEqual(compiled(twice.toReversed()).table, table);
});

test("compile: routes of another class have no influence", () => {
  const other = { className: "internal", suffixes: ["a.example"] };
  const { table, verdicts } = compiled([
    mailRoute("mail/other", other, T1),
    mailRoute("mail/ours", { suffixes: ["a.example"] }, T2),
  ]);
  assert.equal(verdicts.get("mail/other" as never)?.kind, "other-class");
  assert.equal(way(table, "u@a.example"), "mail/ours by suffix:a.example");
});

test("compile: equal keys go to the older, then to the smaller name; the loser keeps its others", () => {
  const cases: [string | undefined, string | undefined, string][] = [
    [T1, T2, "a/b"],
    [T2, T1, "z/a"],
    [T1, T1, "a/b"],
    [undefined, T1, "z/a"],
    [undefined, undefined, "a/b"],
  ];
  for (const [ab, za, winner] of cases) {
    const { table, verdicts } = compiled(
      [
        mailRoute("a/b", { suffixes: ["x.example", "ab.example"] }, ab),
        mailRoute("z/a", { suffixes: ["x.example", "za.example"] }, za),
      ],
      { installation: off },
    );
    const loser = winner === "a/b" ? "z/a" : "a/b";
    assert.equal(way(table, "u@x.example"), `${winner} by suffix:x.example`);
    assert.equal(accepted(verdicts.get(winner as never)), "Accepted 2/2");
    const verdict = verdicts.get(loser as never);
    assert.equal(accepted(verdict), "Conflicted 1/2");
    assert.ok(verdict?.kind === "conflicted");
    assert.deepEqual(verdict.conflicts, [{ key: "suffix:x.example", winner }]);
  }
});

test("compile: the incumbent keeps its key against an older newcomer, by name", () => {
  const mine = mailRoute("b/mine", { suffixes: ["x.example"] }, T2);
  const first = compiled([mine], { installation: off });
  const again = mailRoute("b/mine", { suffixes: ["x.example"] }, T2.replace("02", "03"));
  const older = mailRoute("a/older", { suffixes: ["x.example"] }, T1);
  const { table } = compiled([older, again], { installation: off, previous: first.table });
  assert.equal(way(table, "u@x.example"), "b/mine by suffix:x.example");
});

test("compile: the same key for other senders is no conflict", () => {
  const { table, verdicts } = compiled([
    mailRoute("mail/a", { suffixes: ["x.example"], senders: { domains: ["a.test"] } }),
    mailRoute("mail/b", { suffixes: ["x.example"], senders: { domains: ["b.test"] } }),
    mailRoute("mail/c", { suffixes: ["x.example"] }),
  ]);
  assert.ok([...verdicts.values()].every(({ kind }) => kind === "accepted"));
  assert.equal(keyCount(table), 3);
  const key = keyOf("suffix", "x.example");
  assert.equal(holderOf(table, key, keyOf("domain", "b.test")), "mail/b");
  assert.equal(holderOf(table, key, undefined), "mail/c");
});

test("compile: a vanished holder's contested key is held, and then passes with an event", () => {
  const gone = mailRoute(
    "b/gone",
    { suffixes: ["x.example", "only.example"], target: hosts("old.example") },
    T1,
  );
  const waiting = mailRoute("a/waiting", { suffixes: ["x.example"] }, T2);
  const options: Partial<CompileInput> = { installation: off, now: 1000, conflictHoldMs: 300 };
  const first = compiled([gone, waiting], options);
  const held = compiled([waiting], { ...options, previous: first.table });
  assert.equal(way(held.table, "u@x.example"), "b/gone by suffix:x.example");
  assert.equal(way(held.table, "u@only.example"), "outbound");
  assert.equal(held.recheckAtMs, 1300);
  assert.equal(routeOf(held.table, "b/gone" as never)?.heldUntilMs, 1300);
  assert.equal(accepted(held.verdicts.get("a/waiting" as never)), "Conflicted 0/1");

  const later = compiled([waiting], { ...options, now: 1299, previous: held.table });
  assert.equal(later.table.shards, held.table.shards);
  const back = compiled([waiting, gone], { ...options, now: 1299, previous: later.table });
  assert.equal(way(back.table, "u@x.example"), "b/gone by suffix:x.example");
  assert.equal(routeOf(back.table, "b/gone" as never)?.heldUntilMs, undefined);

  const passed = compiled([waiting], { ...options, now: 1300, previous: later.table });
  assert.equal(way(passed.table, "u@x.example"), "a/waiting by suffix:x.example");
  assert.deepEqual(
    passed.events.map(({ reason, route }) => [reason, route]),
    [["KeyPassed", "a/waiting"]],
  );
  assert.equal(passed.recheckAtMs, undefined);
});

test("compile: nobody waits for a vanished holder's key, so it goes at once", () => {
  const first = compiled([mailRoute("mail/a", { suffixes: ["x.example"] })]);
  assert.equal(keyCount(compiled([], { previous: first.table }).table), 0);
});

test("compile: a Secret that is missing, incomplete or not lent makes the keys unavailable", () => {
  const route = mailRoute("mail/a", {
    suffixes: ["x.example"],
    target: { hosts: [{ host: "smtp.example", port: 587 }, { host: "192.0.2.1" }] },
    tls: { mode: "Verified", caSecretRef: { name: "ca" } },
    auth: { secretRef: { name: "login" } },
  });
  const ca = { version: "1", hosts: ["SMTP.example:587", "192.0.2.1:25"], keys: ["ca.crt"] };
  const login = { version: "7", hosts: ["smtp.example:587"], keys: ["username", "password"] };
  const cases: [[string, typeof ca][], string, RegExp][] = [
    [[], "SecretNotFound", /Secret mail\/ca does not exist/],
    [
      [
        ["mail/ca", ca],
        ["mail/login", { ...login, hosts: ca.hosts, keys: ["username"] }],
      ],
      "SecretIncomplete",
      /no password/,
    ],
    [
      [
        ["mail/ca", ca],
        ["mail/login", login],
      ],
      "SecretNotLent",
      /kubectl annotate secret login --namespace mail --overwrite 'mailroute\.dev\/hosts=192\.0\.2\.1:25,smtp\.example:587'/,
    ],
  ];
  for (const [secrets, reason, message] of cases) {
    const { table, verdicts } = compiled([route], { secrets: new Map(secrets) });
    const verdict = verdicts.get("mail/a" as never);
    assert.ok(verdict?.kind === "accepted");
    assert.equal(verdict.conditions[1]?.reason, reason);
    assert.match(verdict.conditions[1]?.message ?? "", message);
    const found = matched(table, "u@x.example");
    assert.match((found.kind === "route" && found.route.unavailable) || "", message);
  }
  const lent = { ...login, hosts: ca.hosts };
  const { table } = compiled([route], {
    secrets: new Map([
      ["mail/ca", ca],
      ["mail/login", lent],
    ]),
  });
  const good = routeOf(table, "mail/a" as never);
  assert.equal(good?.unavailable, undefined);
  assert.deepEqual(good?.auth, {
    kind: "basic",
    credential: { secret: "mail/login", version: "7" },
  });
  assert.deepEqual(good?.tls.ca, { secret: "mail/ca", version: "1" });
});

test("compile: an OAuth2 Secret must also be lent to the host of the token URL", () => {
  const oauth2 = {
    tokenURL: "https://login.example/token",
    clientID: "id",
    secretRef: { name: "o" },
  };
  const route = mailRoute("mail/a", {
    suffixes: ["x.example"],
    target: { hosts: [{ host: "smtp.example", port: 587 }] },
    tls: { mode: "Verified" },
    auth: { oauth2 },
  });
  const facts = { version: "1", hosts: ["smtp.example:587"], keys: ["username", "client-secret"] };
  const refused = compiled([route], { secrets: new Map([["mail/o", facts]]) });
  assert.match(routeOf(refused.table, "mail/a" as never)?.unavailable ?? "", /login\.example:443/);
  const lent = { ...facts, hosts: [...facts.hosts, "login.example:443"] };
  const { table } = compiled([route], { secrets: new Map([["mail/o", lent]]) });
  assert.equal(routeOf(table, "mail/a" as never)?.auth?.kind, "oauth2");
});

test("compile: a state from before is kept only while its OAuth2 Secret is lent to the token URL's host", () => {
  const spec = {
    suffixes: ["x.example"],
    target: { inbound: {} },
    tls: { mode: "Verified" },
    auth: {
      oauth2: {
        tokenURL: "https://login.example/token",
        clientID: "id",
        secretRef: { name: "o" },
      },
    },
  };
  const keys = ["username", "client-secret"];
  const lentTo = (...hosts: string[]) => new Map([["mail/o", { version: "1", hosts, keys }]]);
  const both = lentTo("inbound", "login.example:443");
  const { table } = compiled([mailRoute("mail/a", spec)], { secrets: both });
  const good = routeOf(table, "mail/a" as never);
  assert.equal(good?.unavailable, undefined);
  assert.equal(good?.reach, "anywhere", "for the host of the token URL");
  const broken = mailRoute("mail/a", { ...spec, protocol: "UUCP" });
  const kept = compiled([broken], { secrets: both, previous: table });
  assert.equal(routeOf(kept.table, "mail/a" as never)?.unavailable, undefined);
  const withdrawn = compiled([broken], { secrets: lentTo("inbound"), previous: table });
  assert.match(
    routeOf(withdrawn.table, "mail/a" as never)?.unavailable ?? "",
    /no longer lent to inbound, login\.example:443/,
  );
});

test("compile: a reject answers everyone, and a grant has nothing to say about that", () => {
  const grants = [mailGrant("g", { namespaces: { names: ["team"] }, suffixes: ["x.example"] })];
  const { table } = compiled(
    [mailRoute("team/a", { suffixes: ["x.example"], target: { reject: {} } })],
    { grants },
  );
  const route = routeOf(table, "team/a" as never);
  assert.equal(route?.access, "Anyone");
  assert.deepEqual(route?.target, {
    kind: "reject",
    code: 550,
    status: "5.1.2",
    message: "no such domain here",
  });
});
