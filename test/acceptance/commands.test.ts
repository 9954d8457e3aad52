/** The commands that people type: lint on bad examples, explain on good ones, and help. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { mailroute } from "./command.ts";

const bad = join(import.meta.dirname, "bad");
const bounded = { timeout: 30_000 };

describe("mailroute lint", () => {
  const names = readdirSync(bad);
  assert.ok(names.length >= 15);
  for (const name of names) {
    test(`lint: ${name} is found, with file, line and field, and exit 1`, bounded, () => {
      const { code, out } = mailroute(["lint", "."], join(bad, name));
      const expected = readFileSync(join(bad, name, "expected.txt"), "utf8")
        .trimEnd()
        .split("\n");
      const findings = out.slice(0, -1);
      for (const finding of findings) assert.match(finding, /^[\w./-]+:\d+: \S/);
      for (const beginning of expected) {
        assert.ok(
          findings.some((each) => each.startsWith(beginning)),
          `${beginning}\nin\n${out.join("\n")}`,
        );
      }
      for (const finding of findings) {
        assert.ok(
          expected.some((beginning) => finding.startsWith(beginning)),
          `not expected: ${finding}`,
        );
      }
      assert.match(out.at(-1) ?? "", new RegExp(`\\b${findings.length} to mend$`));
      assert.equal(code, 1);
    });
  }

  test(
    "lint: the examples have nothing to mend but the Secrets that they do not hold",
    bounded,
    () => {
      const { code, out } = mailroute(["lint", "crds/examples", "--allow-missing-secrets"]);
      assert.match(out.at(-1) ?? "", / 0 to mend$/);
      assert.equal(code, 0);
    },
  );

  test("lint: a directory that is not there is an error, not a clean bill", bounded, () => {
    const { code, err } = mailroute(["lint", "no-such-directory"]);
    assert.match(err, /^mailroute: cannot read the directory no-such-directory: /);
    assert.equal(code, 1);
  });
});

describe("mailroute explain", () => {
  const golden: readonly (readonly [address: string, decides: RegExp])[] = [
    [
      "User@ms.example",
      /^mail\/golden-inbound decides by domain:ms\.example: to the installation's mail store/,
    ],
    [
      "a@sales.ms.example",
      /^mail\/golden-host1 decides by suffix:ms\.example: by SMTP to host1\.example:25/,
    ],
    [
      "a@x.ms.example",
      /^mail\/golden-inbound decides by suffix:x\.ms\.example: to the installation's mail store/,
    ],
    [
      "a@abc.x.ms.example",
      /^mail\/golden-inbound decides by suffix:x\.ms\.example: to the installation's mail store/,
    ],
    [
      "a@pms.example",
      /^no route decides: by MX of the recipient's domain, for trusted clients only$/,
    ],
    [
      "A@CLOSED.example.",
      /^mail\/closed decides by suffix:closed\.example: refused with 550 5\.1\.2 closed\.example has moved/,
    ],
    ["ceo+x@corp.example", /^mail\/ceo decides by address:ceo@corp\.example: /],
    ["a@[192.0.2.1]", /^no route names this address literal/],
  ];
  for (const [address, decides] of golden) {
    test(`explain: says what decides ${address}`, bounded, () => {
      const { code, out } = mailroute(["explain", address, "--dir", "crds/examples"]);
      assert.ok(
        out.some((line) => decides.test(line)),
        out.join("\n"),
      );
      assert.equal(code, 0);
    });
  }

  test("explain: shows what lost, and what a stranger would be told", bounded, () => {
    const { out } = mailroute(["explain", "User@ms.example", "--dir", "crds/examples"]);
    assert.ok(
      out.some((line) => /suffix:ms\.example +loses +mail\/golden-host1/.test(line)),
      out.join("\n"),
    );
    assert.ok(out.includes("from a stranger:       refused, 550 5.7.1 relaying denied"));
  });

  test("explain: an entry for other senders is not applicable", bounded, () => {
    const directory = "crds/examples";
    const without = mailroute(["explain", "a@partner.example", "--dir", directory]).out.join("\n");
    const with_ = mailroute([
      "explain",
      "a@partner.example",
      "--from",
      "me@billing.example",
      "--dir",
      directory,
    ]).out.join("\n");
    assert.match(without, /from domain:billing\.example +not applicable +mail\/invoices/);
    assert.match(with_, /from domain:billing\.example +wins +mail\/invoices/);
  });

  for (const address of ["a@0x7f.1", "a@ex%61mple.test", "nobody", "a@b@c.test"]) {
    test(`explain: ${address} is told to be no address`, bounded, () => {
      const { code, err } = mailroute(["explain", address]);
      assert.match(err, /is not a mail address: the relay answers 501 5\.1\.3/);
      assert.equal(code, 1);
    });
  }
});

describe("mailroute --help", () => {
  const { out } = mailroute(["--help"]);
  const commands = out.flatMap((line) => /^ {2}([a-z]+) {2,}\S/.exec(line)?.[1] ?? []);

  test("help: lists the commands", bounded, () => {
    for (const name of ["dev", "relay", "explain", "lint"])
      assert.ok(commands.includes(name), name);
  });
  for (const name of commands) {
    test(`help: ${name} --help says how to use it`, bounded, () => {
      const said = mailroute([name, "--help"]);
      assert.match(said.out[0] ?? "", new RegExp(`^mailroute ${name}\\b`));
      assert.ok(
        said.out.some((line) => /^ {2}--[a-z-]+/.test(line)),
        "lists its options",
      );
      assert.ok(
        said.out.every((line) => line.length <= 100),
        "fits a terminal",
      );
      assert.equal(said.code, 0);
      const wrong = mailroute([name, "--no-such-option"]);
      assert.match(wrong.err, new RegExp(`mailroute ${name} --help`));
      assert.equal(wrong.code, 1);
    });
  }

  test("help: an unknown command is named", bounded, () => {
    const { code, err } = mailroute(["rely"]);
    assert.match(err, /there is no command "rely"/);
    assert.equal(code, 1);
  });
});
