import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSettings } from "./settings.ts";

const good = { name: "mailroute", namespace: "mail", identity: "pod", relaySelector: "app=relay" };

test("settings: denied networks are addresses and CIDR blocks, or the operator does not start", () => {
  const deniedNetworks = ["10.96.0.0/12", "192.0.2.1", "2001:db8::/32"];
  const parsed = parseSettings({ ...good, deniedNetworks });
  assert.deepEqual(parsed.ok && parsed.settings.installation.deniedNetworks, deniedNetworks);
  for (const wrong of ["10.96.0.0/33", "kubernetes.default", ""]) {
    const refused = parseSettings({ ...good, deniedNetworks: [wrong] });
    assert.match(
      refused.ok ? "" : refused.complaints.join(),
      /^deniedNetworks\.0: is not an address or network: write it like/,
    );
  }
});

test("settings: grants are given only where they are not watched", () => {
  const refused = parseSettings({ ...good, grants: [{}] });
  assert.match(
    refused.ok ? "" : refused.complaints.join(),
    /^grants: MailGrants are watched unless/,
  );
  assert.equal(parseSettings({ ...good, grants: [{}], watchNamespaces: ["mail"] }).ok, true);
});
