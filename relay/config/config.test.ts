import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig } from "./config.ts";

const minimal = `
hostname: relay.test
routes: {directory: /routes}
spool: {directory: /spool}
listeners: [{name: smtp, port: 2525}]
`;

test("config: four settings are enough, everything else has a default", () => {
  const parsed = parseConfig(minimal);
  assert.ok(parsed.ok);
  assert.deepEqual(parsed.config.trustedNetworks, []);
  assert.equal(parsed.config.limits.messageBytesMax, 50 * 1024 * 1024);
  assert.equal(parsed.config.listeners[0]?.host, "::");
});

test("config: the command line names the owner of the spool, where many relays share a file", () => {
  const parsed = parseConfig(minimal, { spoolOwner: "relay-1" });
  assert.equal(parsed.ok && parsed.config.spool.owner, "relay-1");
  assert.equal(parsed.ok && parsed.config.spool.directory, "/spool");
  const empty = parseConfig(minimal, { spoolOwner: "" });
  assert.match(empty.ok ? "" : empty.complaints.join(), /^spool\.owner: /);
});

const clients = (names: string): string =>
  `\ntls: {certificates: [{certificateFile: a, keyFile: b}], clientCertificates: {caFile: c, names: ${names}}}`;

const bad: readonly { name: string; text: string; complaint: RegExp }[] = [
  { name: "an empty file", text: "", complaint: /^hostname: is missing/ },
  { name: "not YAML", text: "a: [", complaint: /line 1/ },
  {
    name: "an unknown setting",
    text: `${minimal}\ncolour: red`,
    complaint: /^the file: no such setting: colour; remove it/,
  },
  {
    name: "an unknown limit",
    text: `${minimal}\nlimits: {messageBytes: 5}`,
    complaint: /^limits: no such setting: messageBytes/,
  },
  {
    name: "a limit out of bounds",
    text: `${minimal}\nlimits: {recipientsMax: 1}`,
    complaint: /^limits\.recipientsMax: must be at least 100/,
  },
  {
    name: "a host name that is none",
    text: minimal.replace("relay.test", "re lay"),
    complaint: /^hostname: is not a host name: write it like/,
  },
  {
    name: "a network that is none",
    text: `${minimal}\ntrustedNetworks: [10.0.0.0/99]`,
    complaint: /^trustedNetworks\.0: is not an address or network: write it like/,
  },
  {
    name: "a port that is none",
    text: minimal.replace("2525", "70000"),
    complaint: /^listeners\.0\.port: must be 0 to 65535/,
  },
  {
    name: "no listener",
    text: minimal.replace("[{name: smtp, port: 2525}]", "[]"),
    complaint: /^listeners: needs at least one/,
  },
  {
    name: "two listeners of one name",
    text: minimal.replace("}]", "}, {name: smtp, port: 26}]"),
    complaint: /^listeners: two have the same name/,
  },
  {
    name: "submission without a certificate",
    text: minimal.replace("2525", "587, kind: submission"),
    complaint: /^listeners\.0\.kind: submission needs a certificate; set tls/,
  },
  {
    name: "a mailbox that is none",
    text: `${minimal}\npostmaster: me`,
    complaint: /^postmaster: is not a mail address/,
  },
  {
    name: "waits the wrong way round",
    text: `${minimal}\nretry: {initialMs: 5000, maxMs: 1000}`,
    complaint: /^retry\.initialMs: is larger than retry\.maxMs/,
  },
  {
    name: "no source of routes",
    text: minimal.replace("{directory: /routes}", "{}"),
    complaint: /^routes: needs one of directory and installation; set/,
  },
  {
    name: "two sources of routes",
    text: minimal.replace("/routes", "/routes, installation: {name: mailroute, namespace: mail}"),
    complaint: /^routes: has both directory and installation; remove one/,
  },
  {
    name: "half a certificate",
    text: `${minimal}\ntls: {certificates: [{certificateFile: a.pem}]}`,
    complaint: /^tls\.certificates\.0\.keyFile: is missing/,
  },
  {
    name: "trust in what is never trusted",
    text: `${minimal}\ntrustedNetworks: [192.0.2.0/30]\nneverTrustedNetworks: [192.0.2.0/24]`,
    complaint: /^trustedNetworks\.0: 192\.0\.2\.0\/30 is within 192\.0\.2\.0\/24 of neverTrusted/,
  },
  {
    name: "no certificate at all",
    text: `${minimal}\ntls: {certificates: []}`,
    complaint: /^tls\.certificates: needs at least one certificate/,
  },
  {
    name: "no name of clients",
    text: `${minimal}${clients("[]")}`,
    complaint: /^tls\.clientCertificates\.names: needs at least one name: list the clients/,
  },
  {
    name: "every client",
    text: `${minimal}${clients('["*"]')}`,
    complaint: /^tls\.clientCertificates\.names\.0: is not a name: write it like/,
  },
  {
    name: "a star in the middle of a client's name",
    text: `${minimal}${clients('["a.*.test"]')}`,
    complaint: /^tls\.clientCertificates\.names\.0: is not a name: write it like/,
  },
  {
    name: "a star before what is no domain",
    text: `${minimal}${clients('["*.3rd floor"]')}`,
    complaint: /^tls\.clientCertificates\.names\.0: is not a name: write it like/,
  },
];

for (const { name, text, complaint } of bad) {
  test(`config: ${name} is refused with the field and the mend`, () => {
    const parsed = parseConfig(text);
    assert.ok(!parsed.ok);
    assert.match(parsed.complaints[0] ?? "", complaint);
  });
}
