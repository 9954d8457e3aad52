import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Domain } from "../../routing/domain.ts";
import type { RouteId } from "../../routing/route.ts";
import { routeTo } from "./delivery.testkit.ts";
import { planTransactions } from "./plan.ts";

const hosts = routeTo([{}], { id: "mail/hosts" as RouteId });
const store = routeTo([], { id: "mail/store" as RouteId, target: { kind: "inbound" } });
const mx = routeTo([], { id: "mail/mx" as RouteId, target: { kind: "mx" } });
const fixed = routeTo([], {
  id: "mail/fixed" as RouteId,
  target: { kind: "mx", domain: "via.test" as Domain },
});

const recipients = fc
  .array(fc.tuple(fc.constantFrom(hosts, store, mx, fixed), fc.constantFrom("a.test", "b.test")))
  .map((list) => list.map(([route, domain], index) => ({ index, domain, route })));

test("plan: every recipient in one transaction, those of one next hop and no others together", () => {
  fc.assert(
    fc.property(recipients, fc.integer({ min: 1, max: 5 }), (list, max) => {
      const groups = planTransactions(list, { recipientsPerTransactionMax: max });
      const all = groups.flatMap((group) => group.recipients).toSorted((a, b) => a - b);
      assert.deepEqual(all, [...list.keys()]);
      for (const group of groups) {
        assert.ok(group.recipients.length <= max && group.recipients.length > 0);
        assert.equal(group.key, group.route === mx ? `mail/mx|${group.domain}` : group.route.id);
        for (const { route, domain } of group.recipients.flatMap((index) => list[index] ?? [])) {
          assert.equal(route, group.route);
          if (route === mx) assert.equal(domain, group.domain);
        }
      }
      const hops = new Map<string, number>();
      for (const { route, domain } of list) {
        const hop = route === mx ? domain : route.id;
        hops.set(hop, (hops.get(hop) ?? 0) + 1);
      }
      const want = [...hops.values()].reduce((sum, count) => sum + Math.ceil(count / max), 0);
      assert.equal(groups.length, want);
    }),
  );
});
