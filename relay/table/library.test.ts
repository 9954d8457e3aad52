import assert from "node:assert/strict";
import { test } from "node:test";
import { type LastGood, Library } from "./library.ts";
import { checkResource, hasReadableKeys } from "./resources.ts";

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
const library = (lastGood?: LastGood): Library =>
  new Library({
    namespace: "mail",
    check: checkResource,
    hasReadableKeys,
    ...(lastGood !== undefined && { lastGood }),
  });
/** As when a file has been looked at twice. */
const read = (each: Library, file: string, text: string): void => {
  assert.equal(each.read(file, text, { isSure: true }), "taken");
};
const ids = (each: Library): string[] => each.view().resources.map(({ id }) => id);

test("library: a broken file keeps its last good routes and says file and line", () => {
  const shelf = library();
  read(shelf, "a.yaml", route("a", "a.test"));
  read(shelf, "a.yaml", "kind: MailRoute\nspec: [");
  assert.deepEqual(ids(shelf), ["mail/a"]);
  const [complaint] = shelf.view().complaints;
  assert.equal(complaint?.file, "a.yaml");
  assert.match(complaint?.text ?? "", /^not YAML/);
  read(shelf, "a.yaml", route("b", "b.test"));
  assert.deepEqual(ids(shelf), ["mail/b"]);
  assert.deepEqual(shelf.view().complaints, []);
});

test("library: a broken resource keeps its own last good state, its neighbours change", () => {
  const shelf = library();
  read(shelf, "a.yaml", `${route("a", "a.test")}---\n${route("b", "b.test")}`);
  read(shelf, "a.yaml", `${route("a", "no spaces allowed")}---\n${route("b", "c.test")}`);
  const { resources, complaints } = shelf.view();
  assert.match(JSON.stringify(resources), /a\.test.*c\.test/);
  assert.equal(complaints.length, 1);
  assert.equal(complaints[0]?.line, 5);
  assert.match(complaints[0]?.text ?? "", /^MailRoute mail\/a: spec\.suffixes\[0\]/);
});

test("library: an emptied file is a half-written one, a deleted file withdraws its routes", () => {
  const shelf = library();
  read(shelf, "a.yaml", route("a", "a.test"));
  read(shelf, "a.yaml", "");
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
    read(shelf, "a.yaml", whole);
    read(shelf, "a.yaml", whole.slice(0, end));
    // Cut between the documents, the file is as good as another.
    const rest = whole.slice(second, end);
    const isWhole = end >= second - 1 && ["", "---", "---\n"].includes(rest);
    const expected = isWhole ? ["mail/a"] : ["mail/a", "mail/b"];
    assert.deepEqual(ids(shelf).sort(), expected, JSON.stringify(whole.slice(0, end)));
  }
});

test("library: a document that is deleted from a file withdraws its routes", () => {
  const shelf = library();
  read(shelf, "a.yaml", `${route("a", "a.test")}---\n${route("b", "b.test")}`);
  read(shelf, "a.yaml", route("b", "b.test"));
  assert.deepEqual(ids(shelf), ["mail/b"]);
  assert.deepEqual(shelf.view().complaints, []);
});

test("library: at the first start a broken file makes the table incomplete, until all was good once", () => {
  const shelf = library();
  read(shelf, "a.yaml", "kind: [");
  assert.equal(shelf.view().incomplete, true);
  read(shelf, "a.yaml", route("a", "a.test"));
  assert.equal(shelf.view().incomplete, false);
  read(shelf, "new.yaml", "kind: [");
  assert.equal(shelf.view().incomplete, false);
});

test("library: what was last good is known after a restart, but not Secrets", () => {
  const first = library();
  read(
    first,
    "a.yaml",
    `${route("a", "a.test")}---\nkind: Secret\nmetadata: {name: s, namespace: mail}\nstringData: {password: p}\n`,
  );
  const kept = JSON.parse(JSON.stringify(first.lastGood()));
  assert.doesNotMatch(JSON.stringify(kept), /password/);
  const second = library(kept);
  read(second, "a.yaml", "kind: [");
  assert.deepEqual(ids(second), ["mail/a"]);
  assert.equal(second.view().incomplete, false);
});

test("library: of two files with the same name the first counts and the second is complained of", () => {
  const shelf = library();
  read(shelf, "b.yaml", route("a", "b.test"));
  read(shelf, "a.yaml", route("a", "a.test"));
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
  read(shelf, "a.yaml", `kind: MailRoute\n${bomb.join("\n")}\n`);
  assert.equal(shelf.view().resources.length, 0);
  assert.equal(shelf.view().complaints.length, 1);
});

test("library: documents of other kinds are left alone", () => {
  const shelf = library();
  read(
    shelf,
    "k.yaml",
    "kind: Kustomization\nresources: [a.yaml]\n---\njust text\n---\n- a\n- list\n",
  );
  assert.deepEqual(shelf.view(), { resources: [], complaints: [], incomplete: false });
});

test("library: the items of a List count like documents of their own, with their lines", () => {
  const shelf = library();
  const item = route("a", "no spaces allowed").trimEnd().replaceAll("\n", "\n  ");
  read(
    shelf,
    "a.yaml",
    `kind: List\napiVersion: v1\nitems:\n- ${item}\n- ${item.replace("no spaces allowed", "b.test").replace("name: a", "name: b")}\n`,
  );
  assert.deepEqual(ids(shelf), ["mail/a", "mail/b"]);
  assert.equal(shelf.view().resources[0]?.broken, true);
  assert.equal(shelf.view().complaints[0]?.line, 8);
});

const notYaml = "kind: MailRoute\nspec: [";
const badPort = (name: string, suffix: string): string =>
  route(name, suffix).replace("{host: a.test}", "{host: a.test, port: 99999}");

test("library: what was never good stays missing, however often it is saved, and over a restart", () => {
  const shelf = library();
  read(shelf, "a.yaml", route("a", "a.test"));
  read(shelf, "b.yaml", notYaml);
  assert.equal(shelf.view().incomplete, true);
  read(shelf, "b.yaml", `${notYaml} # again`);
  assert.equal(shelf.view().incomplete, true);
  const again = library(JSON.parse(JSON.stringify(shelf.lastGood())));
  assert.equal(again.view().incomplete, true);
  read(again, "b.yaml", notYaml);
  assert.equal(again.view().incomplete, true);
  assert.equal(again.isUnknown("b.yaml"), true);
  read(again, "b.yaml", route("b", "b.test"));
  assert.equal(again.view().incomplete, false);
  assert.deepEqual(again.lastGood().missing, []);
});

test("library: a new resource that is wrong is handed on with the keys that can be read", () => {
  const shelf = library();
  read(shelf, "a.yaml", route("a", "a.test"));
  shelf.view();
  read(shelf, "b.yaml", badPort("b", "b.test"));
  const found = shelf.view().resources.map(({ id, broken = false }) => [id, broken]);
  assert.deepEqual(found, [
    ["mail/a", false],
    ["mail/b", true],
  ]);
});

const unclear: readonly (readonly [what: string, text: string, incomplete: boolean])[] = [
  ["a wrong port", badPort("b", "b.test"), false],
  ["a misspelt target", route("b", "b.test").replace("target", "targt"), false],
  ["a misspelt kind", route("b", "b.test").replace("MailRoute", "MailRoutes"), false],
  ["a misspelt list", route("b", "b.test").replace("suffixes", "sufixes"), true],
  ["a list that is none", route("b", "b.test").replace("[b.test]", "b.test"), true],
  ["a key that is none", route("b", "no spaces allowed"), true],
  ["no name", route("b", "b.test").replace("name: b", "label: b"), true],
  ["no kind", route("b", "b.test").replace("kind: MailRoute", "knd: MailRoute"), true],
];

for (const [what, text, incomplete] of unclear) {
  test(`library: ${what} at the first start makes the table ${incomplete ? "incomplete" : "lack nothing"}`, () => {
    const shelf = library();
    read(shelf, "a.yaml", route("a", "a.test"));
    read(shelf, "b.yaml", text);
    const view = shelf.view();
    assert.equal(view.incomplete, incomplete);
    assert.ok(view.complaints.length > 0);
  });
}

test("library: a file that is renamed and broken at once keeps its routes", () => {
  const shelf = library();
  read(shelf, "b.yaml", route("b", "b.test"));
  shelf.view();
  shelf.absent("b.yaml");
  read(shelf, "b2.yaml", badPort("b", "b.test"));
  shelf.remove("b.yaml");
  assert.deepEqual(
    shelf.view().resources.map(({ id, broken = false }) => [id, broken]),
    [["mail/b", false]],
  );
});

test("library: a copy under an earlier name does not take the route over, after a restart neither", () => {
  const shelf = library();
  read(shelf, "b.yaml", route("b", "b.test"));
  shelf.view();
  read(shelf, "a copy.yaml", route("b", "copy.test"));
  const counts = (each: Library): string => JSON.stringify(each.view().resources);
  assert.match(counts(shelf), /\["b\.test/);
  assert.match(shelf.view().complaints[0]?.text ?? "", /already in b\.yaml/);
  const again = library(JSON.parse(JSON.stringify(shelf.lastGood())));
  read(again, "a copy.yaml", route("b", "copy.test"));
  read(again, "b.yaml", route("b", "b.test"));
  assert.match(counts(again), /\["b\.test/);
  again.absent("b.yaml");
  assert.match(counts(again), /copy\.test/, "what is there goes before what was deleted");
});

test("library: a text that says less counts only when it is sure", () => {
  const shelf = library();
  const both = `${route("a", "a.test, aa.test")}---\n${route("b", "b.test")}`;
  read(shelf, "a.yaml", both);
  for (const less of [route("a", "a.test, aa.test"), both.replace(", aa.test", "")]) {
    assert.equal(shelf.read("a.yaml", less, { isSure: false }), "withdraws");
    assert.deepEqual(ids(shelf), ["mail/a", "mail/b"]);
    assert.match(JSON.stringify(shelf.view().resources), /aa\.test/);
  }
  const moved = both.replace("host: a.test", "host: c.test");
  assert.equal(shelf.read("a.yaml", moved, { isSure: false }), "taken");
  read(shelf, "a.yaml", route("a", "a.test"));
  assert.deepEqual(ids(shelf), ["mail/a"]);
});

test("library: of one file at most ten complaints are told, and how many more there are", () => {
  const shelf = library();
  const many = Array.from({ length: 30 }, (_, index) => badPort(`r${index}`, `r${index}.test`));
  read(shelf, "a.yaml", many.join("---\n"));
  const { complaints } = shelf.view();
  assert.equal(complaints.length, 11);
  assert.match(complaints.at(-1)?.text ?? "", /^and \d+ more in this file$/);
  read(shelf, "b.yaml", "a: @\n".repeat(400_000));
  assert.equal(shelf.view().complaints.filter(({ file }) => file === "b.yaml").length, 11);
  read(shelf, "brackets.yaml", "- [[[[x]]]]\n".repeat(170_000));
  assert.match(JSON.stringify(shelf.view().complaints), /too many brackets/);
  const keys = Array.from({ length: 200_000 }, (_, index) => `k${index}:\n`);
  read(shelf, "keys.yaml", keys.join(""));
  assert.match(JSON.stringify(shelf.view().complaints), /a map with too many keys/);
  read(shelf, "c.yaml", "[".repeat(2_000_000));
  assert.match(
    JSON.stringify(shelf.view().complaints),
    /"c\.yaml","line":1,"text":"not YAML: too many/,
  );
});
