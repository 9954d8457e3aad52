import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig } from "./config.ts";
import { endpointsOf } from "./listeners.ts";
import { isWithin } from "./spellings.ts";

const parsed = (listeners: string, more = "") =>
  parseConfig(`
hostname: relay.test
routes: {directory: /routes}
spool: {directory: /spool}
authentication: {usersFile: /users.yaml}
listeners: ${listeners}
${more}`);

test("listeners: a PROXY twin is an endpoint of its own, right behind its listener", () => {
  const config = parsed(
    "[{name: smtp, port: 25, proxyProtocol: {port: 26, balancers: [192.0.2.1]}}, {name: b, port: 27}]",
  );
  assert.ok(config.ok);
  assert.deepEqual(
    endpointsOf(config.config.listeners).map(({ name, port, balancers }) => [
      name,
      port,
      balancers,
    ]),
    [
      ["smtp", 25, undefined],
      ["smtp-proxy", 26, ["192.0.2.1"]],
      ["b", 27, undefined],
    ],
  );
});

test("listeners: kinds have ports of their own, and any kind may be there several times", () => {
  const kinds =
    "[{name: a}, {name: b, kind: submission}, {name: c, kind: submissions}, {name: d, port: 0}, {name: e, kind: submission, port: 587}]";
  const config = parsed(kinds, "tls: {certificates: [{certificateFile: a.pem, keyFile: a.key}]}");
  assert.ok(config.ok);
  assert.deepEqual(
    endpointsOf(config.config.listeners).map(({ name, kind, port }) => `${name} ${kind} ${port}`),
    ["a smtp 2525", "b submission 1587", "c submissions 1465", "d smtp 0", "e submission 587"],
  );
});

const twin = (balancers: string): string =>
  `[{name: smtp, port: 25, proxyProtocol: {port: 26, balancers: ${balancers}}}]`;

const refused: readonly (readonly [
  what: string,
  listeners: string,
  says: RegExp,
  more?: string,
])[] = [
  [
    "a twin without balancers",
    twin("[]"),
    /^listeners\.0\.proxyProtocol\.balancers: needs at least one balancer: list/,
  ],
  [
    "a twin that names none",
    "[{name: smtp, port: 25, proxyProtocol: {port: 26}}]",
    /^listeners\.0\.proxyProtocol\.balancers: is missing/,
  ],
  [
    "a twin for the whole world",
    twin('["::/0"]'),
    /^listeners\.0\.proxyProtocol\.balancers\.0: would let everyone say who he is: name/,
  ],
  [
    "a balancer by name",
    twin("[balancer.test]"),
    /^listeners\.0\.proxyProtocol\.balancers\.0: is not an address or network/,
  ],
  [
    "a twin on the listener's port",
    "[{name: smtp, port: 25, proxyProtocol: {port: 25, balancers: [192.0.2.1]}}]",
    /^listeners: smtp-proxy has port 25 of smtp; give each its own$/,
  ],
  [
    "a submission listener without certificates",
    "[{name: a}, {name: b, kind: submission}]",
    /^listeners\.1\.kind: submission needs a certificate; set tls/,
  ],
  [
    "a submissions listener without certificates",
    "[{name: a, kind: submissions}]",
    /^listeners\.0\.kind: submissions needs a certificate; set tls/,
  ],
  [
    "a trusted submission listener",
    "[{name: a, kind: submission, trusted: true}]",
    /^listeners\.0\.trusted: submission asks everybody to authenticate; remove it, or/,
    "tls: {certificates: [{certificateFile: a.pem, keyFile: a.key}]}",
  ],
  [
    "two listeners on one port by default",
    "[{name: a}, {name: b}]",
    /^listeners: b has port 2525 of a; give each its own$/,
  ],
  ["a kind that is none", "[{name: a, kind: lmtp}]", /^listeners\.0\.kind: /],
  [
    "two listeners of one name",
    "[{name: smtp, port: 25}, {name: smtp, port: 26}]",
    /^listeners: two have the same name/,
  ],
  [
    "a listener with a twin's name",
    "[{name: a, port: 1, proxyProtocol: {port: 2, balancers: [192.0.2.1]}}, {name: a-proxy, port: 3}]",
    /^listeners: two have the same name/,
  ],
  [
    "a twin of a trusted listener",
    "[{name: a, port: 1, trusted: true, proxyProtocol: {port: 2, balancers: [192.0.2.1]}}]",
    /^listeners\.0\.proxyProtocol: would trust everyone whom a balancer brings; remove it, or/,
  ],
  [
    "trust in nothing but balancers",
    twin("[192.0.2.0/25]"),
    /^trustedNetworks\.1: 192\.0\.2\.1 is within 192\.0\.2\.0\/25 of listeners\.0\.proxyProtocol\.balancers, /,
    "trustedNetworks: [192.0.2.0/24, 192.0.2.1]",
  ],
];

for (const [what, listeners, says, more] of refused) {
  test(`listeners: ${what} is refused with field and mend`, () => {
    const config = parsed(listeners, more);
    assert.ok(!config.ok);
    assert.match(config.complaints[0] ?? "", says);
    assert.equal(config.complaints.length, 1);
  });
}

test("networks: one is within another of its own kind that is as wide or wider", () => {
  const cases: readonly (readonly [inner: string, outer: string, within: boolean])[] = [
    ["192.0.2.1", "192.0.2.0/24", true],
    ["192.0.2.0/24", "192.0.2.0/24", true],
    ["192.0.2.0/24", "192.0.2.0/25", false],
    ["192.0.3.0/24", "192.0.2.0/24", false],
    ["::ffff:192.0.2.1", "192.0.2.0/24", true],
    ["2001:db8::1", "2001:db8::/32", true],
    ["2001:db8::1", "0.0.0.0/0", false],
    ["192.0.2.1", "::/0", false],
  ];
  for (const [inner, outer, within] of cases) {
    assert.equal(isWithin(inner, outer), within, `${inner} in ${outer}`);
  }
});

const parsedWith = (tls: string, more = "") =>
  parseConfig(`
hostname: relay.test
routes: {directory: /routes}
spool: {directory: /spool}
tls: {certificates: [{certificateFile: a.pem, keyFile: a.key}]${tls}}
listeners: [{name: smtp}, {name: submission, kind: submission}]
${more}`);

test("listeners: a submission listener without anybody who could authenticate is refused", () => {
  const config = parsedWith("");
  assert.equal(config.ok, false);
  assert.match(
    config.complaints.join(),
    /^listeners: submission is for authenticated clients.*set authentication\.usersFile, .* or tls\.clientCertificates/,
  );
  for (const way of [
    "authentication: {usersFile: /users.yaml}",
    "authentication: {serviceAccounts: {}}",
  ])
    assert.equal(parsedWith("", way).ok, true, way);
});

test("listeners: clients with a listed certificate are enough for a submission listener", () => {
  const config = parsedWith(", clientCertificates: {caFile: ca.pem, names: [a.test]}");
  assert.equal(config.ok, true);
});
