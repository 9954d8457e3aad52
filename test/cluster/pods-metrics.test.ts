/**
 * Debian's Prometheus in the node's network finds both roles' pods, by the Service for it and by their annotations,
 * and counts what was delivered.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { eventually } from "../ledger/relay-process.ts";
import type { ClusterNode } from "./node.ts";
import type { OwnNode } from "./own-node.ts";
import { specTo } from "./pods.ts";
import { site, skip, timeout } from "./pods-site.ts";
import type { Release } from "./release.ts";

const address = "127.0.0.1:9091";
const counted = 'mailroute_recipients_total{result="delivered"}';

type Result = {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
};
type Pod = {
  readonly metadata: {
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly status: { readonly podIP: string };
};

/** The pods that their annotations say are to be scraped, and where: Debian's Prometheus cannot ask Kubernetes. */
async function annotated(
  node: ClusterNode,
  { namespace, name }: Release,
): Promise<readonly object[]> {
  const select = ["-l", `app.kubernetes.io/instance=${name}`, "-o", "json"];
  const said = await node.kubectl(["get", "pods", "-n", namespace, ...select]);
  const { items } = JSON.parse(said) as { items: readonly Pod[] };
  return items.flatMap(({ metadata: { labels, annotations = {} }, status: { podIP } }) =>
    annotations["prometheus.io/scrape"] !== "true"
      ? []
      : {
          targets: [`${podIP}:${annotations["prometheus.io/port"]}`],
          labels: {
            __metrics_path__: annotations["prometheus.io/path"],
            component: labels["app.kubernetes.io/component"],
          },
        },
  );
}

/** Two jobs with the same pods: "annotations" and "service". Answers queries of the HTTP API. */
async function startPrometheus(
  own: OwnNode,
  { targets, release }: { targets: readonly object[]; release: Release },
): Promise<(promql: string) => Promise<readonly Result[]>> {
  const [config, found] = [join(own.state, "prometheus.json"), join(own.state, "targets.json")];
  const service = `_metrics._tcp.${release.name}-metrics.${release.namespace}.svc.cluster.local`;
  const jobs = [
    { job_name: "annotations", file_sd_configs: [{ files: [found] }] },
    { job_name: "service", dns_sd_configs: [{ names: [service], refresh_interval: "1s" }] },
  ];
  writeFileSync(found, JSON.stringify(targets));
  writeFileSync(
    config,
    JSON.stringify({ global: { scrape_interval: "1s" }, scrape_configs: jobs }),
  );
  // With the pods' name server.
  const inPlace = 'mount --bind "$0" /etc/resolv.conf && exec prometheus "$@"';
  const shell = ["unshare", "--mount", "sh", "-c", inPlace, join(own.state, "resolv.conf")];
  const storage = `--storage.tsdb.path=${join(own.state, "prometheus")}`;
  const flags = [`--config.file=${config}`, storage, `--web.listen-address=${address}`];
  await own.launch("prometheus", [...shell, ...flags]);
  const ask = "console.log(await (await fetch(process.argv[1])).text())";
  return async (promql) => {
    const url = `http://${address}/api/v1/query?query=${encodeURIComponent(promql)}`;
    const said = await own.run([process.execPath, "--input-type=module", "-e", ask, url]);
    return (JSON.parse(said) as { data: { result: Result[] } }).data.result;
  };
}

test("pods: Prometheus scrapes both roles, and counts what was delivered by route", {
  skip,
  timeout,
}, async (context) => {
  const { pods, node, first } = site();
  if (node.own === undefined)
    return context.skip("Prometheus runs in the network of a node of ours");
  const targets = await annotated(node, first);
  const query = await startPrometheus(node.own, { targets, release: first });
  await pods.route("counted", specTo("one", "counted.test"));
  await pods.until("counted", { type: "Ready", says: /^True/ });
  const domains = ["counted.test"];
  const load = await pods.load({ name: "load", host: first.host, messagesPerSecond: 30, domains });
  const sentSome = async (): Promise<boolean> => (await load.entries()).length > 60;
  await eventually(sentSome, { msMax: 30_000, what: "some mail is sent", everyMs: 500 });
  const sent = (await load.stop()).filter(({ answered }) => answered).length;

  const values = async (promql: string): Promise<Readonly<Record<string, number>>> => {
    const found = await query(promql).catch((): readonly Result[] => []);
    const name = ({ metric }: Result): string => Object.values(metric).join(" ");
    return Object.fromEntries(found.map((each) => [name(each), Number(each.value[1])]));
  };
  const isUp = async (): Promise<boolean> => {
    const up = await values("sum by (job, component) (up)");
    return up["operator annotations"] === 2 && up["relay annotations"] === 2 && up["service"] === 4;
  };
  await eventually(isUp, { msMax: 30_000, what: "four pods are up", everyMs: 500 });
  const routes = ["annotations mail/counted", "service mail/counted"];
  const delivered = async (): Promise<readonly (number | undefined)[]> => {
    const all = await values(`sum by (job, route) (${counted})`);
    return routes.map((each) => all[each]);
  };
  const isCounted = async (): Promise<boolean> =>
    (await delivered()).every((each = 0) => each >= sent);
  await eventually(isCounted, { msMax: 30_000, what: `${sent} are counted`, everyMs: 500 });
  const arrived = (await pods.received("one")).filter(({ recipients }) =>
    recipients.includes("user@counted.test"),
  );
  assert.equal(arrived.length, sent);
  assert.deepEqual(await delivered(), [sent, sent]);
  const watches = 'sum by (component) (mailroute_operator_watch_up{job="annotations"})';
  assert.deepEqual(await values(watches), { operator: 10 }); // four kinds and the table, by each of two
  console.log(`metrics: sum by (route) (${counted}) for mail/counted is ${sent}`);
});
