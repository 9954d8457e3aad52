/**
 * What the operator watches: pure. The whole cluster, or, where only some namespaces are named, those through
 * Roles of their own: MailGrants and Namespaces belong to the cluster and come from elsewhere then.
 */
import type { KubeObject } from "../kube/api.ts";
import type { Scope } from "./store.ts";

export type Watch = Scope & {
  readonly path: string;
  /** Of Secrets only names and annotations are wanted. */
  readonly metadataOnly: boolean;
};

export type Watches = {
  readonly watched: readonly Watch[];
  /** What is known without watching. */
  readonly given: readonly { readonly scope: Scope; readonly objects: readonly KubeObject[] }[];
};

const group = "/apis/mailroute.dev/v1alpha1";

export function watchesOf(options: {
  /** Undefined: all. */
  readonly namespaces: readonly string[] | undefined;
  /** The MailGrants, where they are not watched. */
  readonly grants: readonly KubeObject[];
}): Watches {
  const { namespaces, grants } = options;
  if (namespaces === undefined) {
    return {
      watched: [
        { kind: "MailRoute", path: `${group}/mailroutes`, metadataOnly: false },
        { kind: "MailGrant", path: `${group}/mailgrants`, metadataOnly: false },
        { kind: "Namespace", path: "/api/v1/namespaces", metadataOnly: false },
        { kind: "Secret", path: "/api/v1/secrets", metadataOnly: true },
      ],
      given: [],
    };
  }
  const watched = namespaces.flatMap((namespace): Watch[] => [
    {
      kind: "MailRoute",
      namespace,
      path: `${group}/namespaces/${namespace}/mailroutes`,
      metadataOnly: false,
    },
    {
      kind: "Secret",
      namespace,
      path: `/api/v1/namespaces/${namespace}/secrets`,
      metadataOnly: true,
    },
  ]);
  return {
    watched,
    given: [
      { scope: { kind: "MailGrant" }, objects: grants },
      { scope: { kind: "Namespace" }, objects: namespaces.map(namespaceObject) },
    ],
  };
}

/** The one label that every namespace has, and the only one that is known of it without reading it. */
function namespaceObject(name: string): KubeObject {
  return { metadata: { name, labels: { "kubernetes.io/metadata.name": name } } };
}
