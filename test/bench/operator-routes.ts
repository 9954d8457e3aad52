/**
 * Ten thousand MailRoutes with a hundred thousand domains on an API server, as `kubectl apply` would have
 * written them, half of them of teams under MailGrants, and a watch that says which of them are Programmed.
 */
import type { Api, KubeObject } from "../../kube/api.ts";
import { reflect } from "../../kube/reflector.ts";
import type { Cluster } from "../cluster/installation.ts";

export const domainsPerRoute = 10;
const atOnce = 20;

const words = ["mail", "shop", "north", "blue", "cargo", "delta", "ocean", "pixel", "river"];

const group = "/apis/mailroute.dev/v1alpha1";
const regions = 100;
const teams = 20;

/** Names of 15 to 30 characters below a hundred regions, as customers' domains are. */
function domainOf(number: number, region: number): string {
  return `${words[number % words.length]}-${number.toString(36)}.region${region}.example`;
}

/** The upper half of the regions belongs to teams, each with some of them. */
function namespaceOf(region: number): string {
  return region < regions / 2 ? "mail" : `team-${region % teams}`;
}

function placeOf(number: number): { readonly namespace: string; readonly name: string } {
  return { namespace: namespaceOf(number % regions), name: `customer-${number}` };
}

/** "namespace/name". */
export function idOf(number: number): string {
  const { namespace, name } = placeOf(number);
  return `${namespace}/${name}`;
}

/** `edit` 0 is how it was made: odd ones move its host's port, even ones rename one of its domains. */
function specOf(number: number, edit: number): object {
  const names = Array.from({ length: domainsPerRoute }, (_, part) =>
    domainOf(number * domainsPerRoute + part, number % regions),
  );
  const half = domainsPerRoute / 2;
  const moved = edit > 0 && edit % 2 === 0 ? `edit${edit}.` : "";
  return {
    suffixes: names.slice(0, half),
    domains: names.slice(half).map((name, at) => (at === 0 ? `${moved}${name}` : name)),
    target: {
      hosts: [
        { host: `mx1.host${number}.example`, port: edit % 2 === 0 ? 25 : 2500 + edit },
        { host: `mx2.host${number}.example`, priority: 20 },
      ],
    },
  };
}

/** With the annotation that `kubectl apply` leaves on each object. */
function applied(number: number, edit: number): object {
  const resource = {
    apiVersion: "mailroute.dev/v1alpha1",
    kind: "MailRoute",
    metadata: { annotations: {}, ...placeOf(number) },
    spec: specOf(number, edit),
  };
  const text = `${JSON.stringify(resource)}\n`;
  const annotations = { "kubectl.kubernetes.io/last-applied-configuration": text };
  return { ...resource, metadata: { ...resource.metadata, annotations } };
}

/** The teams' namespaces, and a MailGrant for each. */
export async function createTeams(cluster: Cluster): Promise<void> {
  for (let team = 0; team < teams; team++) {
    const name = `team-${team}`;
    const all = Array.from({ length: regions }, (_, region) => region);
    const own = all.filter((region) => namespaceOf(region) === name);
    await cluster.create("/api/v1/namespaces", { metadata: { name, labels: { team: name } } });
    await cluster.create(`${group}/mailgrants`, {
      apiVersion: "mailroute.dev/v1alpha1",
      kind: "MailGrant",
      metadata: { name },
      spec: {
        namespaces: { selector: { matchLabels: { team: name } } },
        suffixes: own.map((region) => `region${region}.example`),
        targets: { hosts: [{ host: "*.example" }] },
      },
    });
  }
}

function pathOf(number: number): string {
  return `${group}/namespaces/${placeOf(number).namespace}/mailroutes`;
}

export async function createRoutes(api: Api, count: number): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const number = next++;
      const path = pathOf(number);
      const body = applied(number, 0);
      const { status, body: said } = await api.request({ method: "POST", path, body });
      if (status !== 201)
        throw new Error(`creating a MailRoute answered ${status}: ${said.message}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

/** What `kubectl apply` sends for an edited file. The answer is the generation that it made. */
export async function editRoute(api: Api, number: number, edit: number): Promise<number> {
  const { status, body } = await api.request({
    method: "PATCH",
    path: `${pathOf(number)}/${placeOf(number).name}`,
    contentType: "application/merge-patch+json",
    body: applied(number, edit),
  });
  if (status !== 200) throw new Error(`the edit answered ${status}: ${body.message}`);
  return Number(body.metadata?.["generation"]);
}

export type Programmed = {
  /** Generations by route that are Programmed=True. */
  readonly generations: ReadonlyMap<string, number>;
  stop(): void;
};

export function watchProgrammed(api: Api): Programmed {
  const generations = new Map<string, number>();
  const look = ({ metadata, status }: KubeObject & { readonly status?: unknown }): void => {
    const { conditions = [] } = (status ?? {}) as { conditions?: Record<string, unknown>[] };
    const found = conditions.find(({ type }) => type === "Programmed");
    const id = `${String(metadata?.["namespace"])}/${String(metadata?.["name"])}`;
    if (found?.["status"] === "True") generations.set(id, Number(found["observedGeneration"]));
    else generations.delete(id);
  };
  const reflector = reflect({
    api,
    path: `${group}/mailroutes`,
    changed(change) {
      if (change.type === "listed") change.objects.forEach(look);
      else look(change.object);
    },
  });
  return { generations, stop: () => reflector.stop() };
}
