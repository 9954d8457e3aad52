/**
 * The chart's values, as a zod schema: relay settings and grants are those of the code itself, so that what Helm
 * accepts is what the processes accept. Pure: generate.ts writes it as values.schema.json.
 */
import * as z from "zod";
import { settingsSchema } from "../operator/settings.ts";
import { configSchema } from "../relay/config/config.ts";
import { balancerSchema } from "../relay/config/listeners.ts";
import { mailGrantSpec } from "../routing/mail-grant.ts";

const { hostname, className, trustedNetworks, neverTrustedNetworks, routes, spool, handover } =
  configSchema.shape;
const anything = z.record(z.string(), z.unknown());
const text = z.string();
const port = z.int().min(1).max(65_535);

/** What the chart says itself, and a value of `relay.config` cannot. */
const relayConfig = configSchema
  .omit({
    hostname: true,
    className: true,
    namespace: true,
    routes: true,
    listeners: true,
    tls: true,
    authentication: true,
    trustedNetworks: true,
    neverTrustedNetworks: true,
    admin: true,
    handover: true,
  })
  .extend({
    spool: spool.pick({ limits: true, startHeld: true }).optional(),
    handover: handover.unwrap().pick({ timeMsMax: true }).optional(),
  });

const resources = z.strictObject({
  requests: anything.optional(),
  limits: anything.optional(),
  claims: z.array(z.unknown()).optional(),
});

const placement = {
  replicas: z.int().min(0).max(1000),
  resources,
  nodeSelector: anything,
  tolerations: z.array(z.unknown()),
  affinity: anything,
  podAnnotations: z.record(z.string(), z.string()),
  priorityClassName: text,
};

const annotations = z.record(z.string(), z.string());
const serviceType = z.enum(["ClusterIP", "NodePort", "LoadBalancer"]);

/** A Service that may be reached from outside. */
const outerService = {
  type: serviceType,
  externalTrafficPolicy: z.enum(["Local", "Cluster"]),
  loadBalancerClass: text,
  loadBalancerSourceRanges: z.array(text),
  annotations,
};

const relay = z.strictObject({
  ...placement,
  config: relayConfig.describe("Settings of the relay, as docs/configuration.md names them."),
  autoscaling: z.strictObject({
    enabled: z.boolean(),
    minReplicas: z.int().min(1).max(1000),
    maxReplicas: z.int().min(1).max(1000),
    averageCPU: text,
  }),
  service: z.strictObject({ ...outerService, port }),
  submission: z.strictObject({ enabled: z.boolean(), port }),
  submissions: z.strictObject({ enabled: z.boolean(), port }),
  trusted: z.strictObject({
    enabled: z.boolean(),
    service: z.strictObject({ type: serviceType, port, annotations }),
  }),
  proxyProtocol: z.strictObject({
    enabled: z.boolean(),
    // checks.yaml says with words when there is none.
    balancers: z.array(balancerSchema).max(256),
    service: z.strictObject(outerService),
  }),
  tls: z.strictObject({
    secretName: text,
    sniSecretNames: z.array(text.min(1)).max(63),
    clientCertificates: z.strictObject({
      secretName: text,
      key: text.min(1),
      names: z.array(text.min(1)).max(1024),
    }),
  }),
  authentication: z.strictObject({
    serviceAccounts: z.strictObject({ enabled: z.boolean(), audience: text.min(1) }),
    users: z.strictObject({ secretName: text, key: text.min(1) }),
    hideInReceived: z.boolean(),
  }),
  storage: z.strictObject({
    className: text,
    size: text,
    accessMode: z.enum(["ReadWriteOncePod", "ReadWriteOnce"]),
  }),
  maxUnavailable: z.int().min(1),
  terminationGracePeriodSeconds: z.int().min(30).max(3600),
});

const peers = z.array(anything);
const flow = z.strictObject({ peers, ports: z.array(port).min(1) });

export const valuesSchema = z.strictObject({
  global: anything.optional().describe("Of the charts around this one; not read."),
  hostname: hostname.min(1),
  className,
  trustedNetworks,
  neverTrustedNetworks,
  deniedNetworks: routes.shape.deniedNetworks,
  delegation: settingsSchema.shape.delegation,
  delegations: z
    .array(
      z.looseObject({
        name: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/),
        ...mailGrantSpec.shape,
      }),
    )
    .describe("Each becomes a MailGrant."),
  watchNamespaces: settingsSchema.shape.watchNamespaces,
  image: z.strictObject({
    repository: text.min(1),
    tag: text,
    digest: z.string().regex(/^(sha256:[0-9a-f]{64})?$/),
    pullPolicy: z.enum(["Always", "IfNotPresent", "Never"]),
  }),
  imagePullSecrets: z.array(z.strictObject({ name: text })),
  listenHost: text.min(1),
  relay,
  operator: z.strictObject(placement),
  networkPolicy: z.strictObject({
    enabled: z.boolean(),
    clients: peers,
    trustedClients: peers,
    metrics: peers,
    apiServer: flow,
    nextHops: flow,
  }),
  test: z.strictObject({ to: text.min(1), from: text }),
});
