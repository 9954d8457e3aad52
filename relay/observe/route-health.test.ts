import assert from "node:assert/strict";
import { test } from "node:test";
import type { DeferCause, Outcome } from "../outcome.ts";
import { RouteHealth } from "./route-health.ts";

const hop = "mx1.test:25";
const taken: Outcome = { kind: "delivered", hop, reply: { code: 250, status: "2.0.0", text: "" } };
const refused: Outcome = { kind: "failed", hop, reply: { code: 550, status: "5.1.1", text: "" } };
const deferred = (cause: DeferCause): Outcome => {
  return { kind: "deferred", cause, hop, reply: { code: 451, status: "4.0.0", text: "" } };
};
const second = 1000;

function healthOf(attempts: readonly (readonly [atSeconds: number, outcome: Outcome])[]) {
  const generations = new Map([["mail/a", 1]]);
  const health = new RouteHealth({ generationOf: (route) => generations.get(route) });
  for (const [at, outcome] of attempts) health.attempted("mail/a", outcome, at * second);
  return { health, generations };
}

const cannotConnect = { route: "mail/a", why: "mx1.test:25 cannot be connected to" };

test("route health: a host that cannot be reached fails its route after ten seconds", () => {
  const { health } = healthOf([[0, deferred("connect")]]);
  assert.deepEqual(health.failing(9 * second), []);
  assert.deepEqual(health.failing(10 * second), [cannotConnect]);
});

test("route health: what is delivered ends the failure", () => {
  const { health } = healthOf([
    [0, deferred("connect")],
    [20, taken],
  ]);
  assert.deepEqual(health.failing(30 * second), []);
});

test("route health: the words stay while the trouble changes its kind", () => {
  const { health } = healthOf([
    [0, deferred("connect")],
    [20, deferred("timeout")],
  ]);
  assert.deepEqual(health.failing(30 * second), [cannotConnect]);
});

test("route health: a host that defers single messages is not failing, one that defers all is", () => {
  const replies = (count: number) =>
    healthOf(Array.from({ length: count }, (_, at) => [at, deferred("reply")] as const)).health;
  assert.deepEqual(replies(4).failing(60 * second), []);
  assert.equal(replies(5).failing(60 * second).length, 1);
});

test("route health: a refused recipient and a shutdown of ours say nothing of the host", () => {
  const { health } = healthOf([
    [0, refused],
    [1, deferred("shutdown")],
    [2, deferred("local")],
  ]);
  assert.deepEqual(health.failing(60 * second), []);
});

test("route health: an edited route starts anew, and one that is gone is forgotten", () => {
  const { health, generations } = healthOf([[0, deferred("connect")]]);
  generations.set("mail/a", 2);
  assert.deepEqual(health.failing(60 * second), []);
  health.attempted("mail/a", deferred("dns"), 61 * second);
  assert.deepEqual(health.failing(80 * second), [
    { route: "mail/a", why: "mx1.test:25 has no address" },
  ]);
  generations.delete("mail/a");
  assert.deepEqual(health.failing(80 * second), []);
});

test("route health: two hours without an attempt, and nothing is known any more", () => {
  const { health } = healthOf([[0, deferred("connect")]]);
  assert.deepEqual(health.failing(3 * 3600 * second), []);
});

function crowded(routesMax: number, routes: readonly string[]) {
  const health = new RouteHealth({ generationOf: () => 1, routesMax });
  for (const route of routes) health.attempted(route, deferred("connect"), 0);
  const told = (atSeconds: number) => ({
    failing: health.failing(atSeconds * second).map(({ route }) => route),
    untold: health.untold(atSeconds * second),
  });
  return { health, told };
}
const many = (namespace: string, count: number): string[] =>
  Array.from({ length: count }, (_, number) => `${namespace}/${number}`);

test("route health: of whom more fail than are kept is told, and nobody else's are pushed out", () => {
  const { told } = crowded(4, [...many("shop", 10), "team/a", "mail/a"]);
  assert.deepEqual(told(20), {
    failing: ["mail/a", "shop/0", "shop/1", "team/a"],
    untold: ["shop"],
  });
});

test("route health: a namespace that comes later has its share, and what went for it is told", () => {
  const { health, told } = crowded(4, [...many("shop", 2), ...many("team", 2)]);
  assert.deepEqual(told(20).untold, []);
  health.attempted("mail/a", deferred("connect"), 0);
  health.attempted("mail/b", deferred("connect"), 0);
  const { failing, untold } = told(20);
  assert.equal(failing.length, 4);
  assert.ok(failing.includes("mail/a"));
  assert.ok(failing.some((route) => route.startsWith("shop/")));
  assert.ok(failing.some((route) => route.startsWith("team/")));
  assert.ok(untold.includes("mail"), "mail/b was not kept");
  for (const namespace of ["shop", "team"])
    assert.ok(
      untold.includes(namespace) ||
        failing.filter((route) => route.startsWith(`${namespace}/`)).length === 2,
      namespace,
    );
});

test("route health: with more namespaces than are kept, those without a place are told of", () => {
  const { told } = crowded(2, ["a/x", "b/x", "c/x"]);
  assert.deepEqual(told(20), { failing: ["a/x", "b/x"], untold: ["c"] });
});

test("route health: nothing is said to be unknown any more two hours after the last that found no place", () => {
  const { health, told } = crowded(1, ["shop/a", "shop/b"]);
  health.attempted("shop/a", taken, 60 * second);
  health.attempted("shop/b", deferred("connect"), 3600 * second);
  assert.deepEqual(told(7200), { failing: ["shop/b"], untold: ["shop"] });
  assert.deepEqual(told(7201), { failing: ["shop/b"], untold: [] });
});
