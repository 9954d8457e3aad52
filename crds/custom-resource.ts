/**
 * From the zod schemas to what Kubernetes and editors read: a structural CustomResourceDefinition with
 * CEL rules, and a plain JSON schema. Pure: `generate.ts` writes the files.
 */
import * as z from "zod";
import { mailGrantSchema, mailGrantSpec } from "../routing/mail-grant.ts";
import { mailRouteSchema, mailRouteSpec } from "../routing/mail-route.ts";

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
type JsonObject = { readonly [name: string]: Json };

type Column = {
  readonly name: string;
  readonly type: "string" | "date";
  readonly jsonPath: string;
  readonly description: string;
  readonly priority?: number;
};

type Kind = {
  readonly kind: string;
  readonly plural: string;
  readonly shortName: string;
  readonly scope: "Namespaced" | "Cluster";
  readonly description: string;
  readonly spec: z.ZodType;
  readonly conditions: readonly string[];
  readonly statusFields: JsonObject;
  readonly columns: readonly Column[];
};

const ready = (type: string): Column => ({
  name: type,
  type: "string",
  jsonPath: `.status.conditions[?(@.type=="${type}")].status`,
  description: `The condition ${type}.`,
});

const age: Column = {
  name: "Age",
  type: "date",
  jsonPath: ".metadata.creationTimestamp",
  description: "Since when it exists.",
};

const count = { type: "integer", format: "int64", minimum: 0 };

const mailRoute: Kind = {
  kind: "MailRoute",
  plural: "mailroutes",
  shortName: "mroute",
  scope: "Namespaced",
  description: "Says where mail for some domains goes. The most specific entry decides.",
  spec: mailRouteSpec,
  conditions: ["Accepted", "ResolvedRefs", "Programmed", "Ready", "Delivering"],
  statusFields: {
    targets: {
      type: "string",
      maxLength: 512,
      description: "The target in one line, for people.",
    },
    keys: {
      type: "object",
      description: "Pairs of recipient key and sender key.",
      properties: { claimed: count, held: count },
    },
  },
  columns: [
    {
      name: "Targets",
      type: "string",
      jsonPath: ".status.targets",
      description: "Where its mail goes.",
    },
    ready("Ready"),
    ready("Programmed"),
    age,
  ],
};

const mailGrant: Kind = {
  kind: "MailGrant",
  plural: "mailgrants",
  shortName: "mgrant",
  scope: "Cluster",
  description: "Says which namespaces may claim which domains in MailRoutes. Written by admins.",
  spec: mailGrantSpec,
  conditions: ["Accepted"],
  statusFields: {},
  columns: [
    {
      name: "Suffixes",
      type: "string",
      jsonPath: ".spec.suffixes",
      description: "What may be claimed under it.",
    },
    ready("Accepted"),
    age,
  ],
};

function definition(kind: Kind): JsonObject {
  const singular = kind.kind.toLowerCase();
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${kind.plural}.mailroute.dev` },
    spec: {
      group: "mailroute.dev",
      scope: kind.scope,
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural: kind.plural,
        singular,
        shortNames: [kind.shortName],
        categories: ["mail"],
      },
      versions: [
        {
          name: "v1alpha1",
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: kind.columns.map((column) => ({ ...column })),
          schema: { openAPIV3Schema: resourceSchema(kind) },
        },
      ],
    },
  };
}

function resourceSchema(kind: Kind): JsonObject {
  return {
    description: kind.description,
    type: "object",
    required: ["spec"],
    properties: {
      apiVersion: { type: "string" },
      kind: { type: "string" },
      metadata: { type: "object" },
      spec: structural(jsonSchema(kind.spec)),
      status: status(kind),
    },
  };
}

function jsonSchema(schema: z.ZodType): Json {
  const options = { io: "input", target: "draft-7", unrepresentable: "any" } as const;
  return JSON.parse(JSON.stringify(z.toJSONSchema(schema, options)));
}

const notStructural = new Set(["$schema", "propertyNames"]);

/** OpenAPI v3 as the API server wants it: unknown fields are pruned there, never listed as forbidden. */
function structural(schema: Json): Json {
  if (Array.isArray(schema)) return schema.map(structural);
  if (typeof schema !== "object" || schema === null) return schema;
  const kept = Object.entries(schema).filter(
    ([name, value]) =>
      !notStructural.has(name) && !(name === "additionalProperties" && value === false),
  );
  return Object.fromEntries(
    kept.map(([name, value]) => [name, name === "default" ? value : structural(value)]),
  );
}

function status(kind: Kind): JsonObject {
  return {
    type: "object",
    default: { conditions: kind.conditions.map(pending) },
    properties: {
      observedGeneration: count,
      ...kind.statusFields,
      conditions: {
        type: "array",
        maxItems: 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        items: condition,
      },
    },
  };
}

function pending(type: string): JsonObject {
  return {
    type,
    status: "Unknown",
    reason: "Pending",
    message: "Waiting for the Mailroute operator",
    lastTransitionTime: "1970-01-01T00:00:00Z",
  };
}

const condition = {
  type: "object",
  required: ["type", "status", "reason", "message", "lastTransitionTime"],
  properties: {
    type: { type: "string", maxLength: 316 },
    status: { type: "string", enum: ["True", "False", "Unknown"] },
    reason: { type: "string", minLength: 1, maxLength: 1024 },
    message: { type: "string", maxLength: 32_768 },
    lastTransitionTime: { type: "string", format: "date-time" },
    observedGeneration: count,
  },
};

function editorSchema(schema: z.ZodType, description: string): JsonObject {
  const plain = withoutKubernetes(jsonSchema(schema));
  return { description, ...(plain as JsonObject) };
}

function withoutKubernetes(schema: Json): Json {
  if (Array.isArray(schema)) return schema.map(withoutKubernetes);
  if (typeof schema !== "object" || schema === null) return schema;
  return Object.fromEntries(
    Object.entries(schema)
      .filter(([name]) => !name.startsWith("x-kubernetes-"))
      .map(([name, value]) => [name, withoutKubernetes(value)]),
  );
}

export const definitions = {
  mailroutes: definition(mailRoute),
  mailgrants: definition(mailGrant),
};

export const editorSchemas = {
  mailroute: editorSchema(mailRouteSchema, mailRoute.description),
  mailgrant: editorSchema(mailGrantSchema, mailGrant.description),
};
