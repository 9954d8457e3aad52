import assert from "node:assert/strict";
import { test } from "node:test";
import { Library } from "./library.ts";
import { checkResource } from "./resources.ts";

const route = (
  name: string,
  suffix: string,
  host = "a.test",
): string => `apiVersion: mailroute.dev/v1alpha1
kind: MailRoute
metadata: {name: ${name}, namespace: mail}
spec:
  suffixes: [${suffix}]
  target: {hosts: [{host: ${host}}]}
`;
const library = (lastGood?: Library["lastGood"] extends () => infer T ? T : never): Library =>
  new Library({
    namespace: "mail",
    check: checkResource,
    ...(lastGood !== undefined && { lastGood }),
  });
const ids = (each: Library): string[] => each.view().resources.map(({ id }) => id);

test("library: a broken file keeps its last good routes and says file and line", () => {
  const shelf = library();
  shelf.read("a.yaml", route("a", "a.test"));
  shelf.read("a.yaml", "kind: MailRoute\nspec: [");
  assert.deepEqual(ids(shelf), ["mail/a"]);
  const [complaint] = shelf.view().complaints;
  assert.equal(complaint?.file, "a.yaml");
  assert.match(complaint?.text ?? "", /^not YAML/);
  shelf.read("a.yaml", route("b", "b.test"));
  assert.deepEqual(ids(shelf), ["mail/b"]);
  assert.deepEqual(shelf.view().complaints, []);
});

test("library: a broken resource keeps its own last good state, its neighbours change", () => {
  const shelf = library();
  shelf.read("a.yaml", `${route("a", "a.test")}---\n${route("b", "b.test")}`);
  shelf.read("a.yaml", `${route("a", "no spaces allowed")}---\n${route("b", "c.test")}`);
  const { resources, complaints } = shelf.view();
  assert.match(JSON.stringify(resources), /a\.test.*c\.test/);
  assert.equal(complaints.length, 1);
  assert.equal(complaints[0]?.line, 5);
  assert.match(complaints[0]?.text ?? "", /^MailRoute mail\/a: spec\.suffixes\[0\]/);
});

test("library: an emptied file is a half-written one, a deleted file withdraws its routes", () => {
  const shelf = library();
  shelf.read("a.yaml", route("a", "a.test"));
  shelf.read("a.yaml", "");
  assert.deepEqual(ids(shelf), ["mail/a"]);
  assert.match(shelf.view().complaints[0]?.text ?? "", /is empty: delete the file/);
  shelf.remove("a.yaml");
  assert.deepEqual(ids(shelf), []);
});

test("library: a file that is cut short withdraws nothing, wherever the cut is", () => {
  const whole = `${route("a", "a.test")}---\n${route("b", "b.test")}`;
  const second = whole.indexOf("---");
  for (let end = 0; end < whole.length; end++) {
    const shelf = library();
    shelf.read("a.yaml", whole);
    shelf.read("a.yaml", whole.slice(0, end));
    // Cut between the documents, the file is as good as another.
    const rest = whole.slice(second, end);
    const isWhole = end >= second - 1 && ["", "---", "---\n"].includes(rest);
    const expected = isWhole ? ["mail/a"] : ["mail/a", "mail/b"];
    assert.deepEqual(ids(shelf).sort(), expected, JSON.stringify(whole.slice(0, end)));
  }
});

test("library: a document that is deleted from a file withdraws its routes", () => {
  const shelf = library();
  shelf.read("a.yaml", `${route("a", "a.test")}---\n${route("b", "b.test")}`);
  shelf.read("a.yaml", route("b", "b.test"));
  assert.deepEqual(ids(shelf), ["mail/b"]);
  assert.deepEqual(shelf.view().complaints, []);
});

test("library: at the first start a broken file makes the table incomplete, until all was good once", () => {
  const shelf = library();
  shelf.read("a.yaml", "kind: [");
  assert.equal(shelf.view().incomplete, true);
  shelf.read("a.yaml", route("a", "a.test"));
  assert.equal(shelf.view().incomplete, false);
  shelf.read("new.yaml", "kind: [");
  assert.equal(shelf.view().incomplete, false);
});

test("library: what was last good is known after a restart, but not Secrets", () => {
  const first = library();
  first.read(
    "a.yaml",
    `${route("a", "a.test")}---\nkind: Secret\nmetadata: {name: s, namespace: mail}\nstringData: {password: p}\n`,
  );
  const kept = JSON.parse(JSON.stringify(first.lastGood()));
  assert.doesNotMatch(JSON.stringify(kept), /password/);
  const second = library(kept);
  second.read("a.yaml", "kind: [");
  assert.deepEqual(ids(second), ["mail/a"]);
  assert.equal(second.view().incomplete, false);
});

test("library: of two files with the same name the first counts and the second is complained of", () => {
  const shelf = library();
  shelf.read("b.yaml", route("a", "b.test"));
  shelf.read("a.yaml", route("a", "a.test"));
  assert.match(JSON.stringify(shelf.view().resources), /a\.test/);
  assert.equal(shelf.view().resources.length, 1);
  assert.match(shelf.view().complaints[0]?.text ?? "", /already in a\.yaml/);
});

test("library: an alias bomb is a complaint, not a crash", () => {
  const shelf = library();
  const bomb = [
    "a: &a [x,x,x,x,x,x,x,x,x]",
    ...[..."bcdefghi"].map(
      (name, index) => `${name}: &${name} [${`*${"abcdefgh"[index]},`.repeat(9)}]`,
    ),
  ];
  shelf.read("a.yaml", `kind: MailRoute\n${bomb.join("\n")}\n`);
  assert.equal(shelf.view().resources.length, 0);
  assert.equal(shelf.view().complaints.length, 1);
});

test("library: documents of other kinds are left alone", () => {
  const shelf = library();
  shelf.read(
    "k.yaml",
    "kind: Kustomization\nresources: [a.yaml]\n---\njust text\n---\n- a\n- list\n",
  );
  assert.deepEqual(shelf.view(), { resources: [], complaints: [], incomplete: false });
});

test("library: the items of a List count like documents of their own, with their lines", () => {
  const shelf = library();
  const item = route("a", "no spaces allowed").trimEnd().replaceAll("\n", "\n  ");
  shelf.read(
    "a.yaml",
    `kind: List\napiVersion: v1\nitems:\n- ${item}\n- ${item.replace("no spaces allowed", "b.test").replace("name: a", "name: b")}\n`,
  );
  assert.deepEqual(ids(shelf), ["mail/b"]);
  assert.equal(shelf.view().complaints[0]?.line, 8);
});
