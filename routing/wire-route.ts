/**
 * A route definition as it stands in a shard: the same shape as in memory, checked field by field.
 * Strict: a field that this version does not know may say something about who may send, or where.
 */
import * as z from "zod";
import { isService, parseIp, parseService } from "./domain.ts";
import { isDomainName } from "./key.ts";
import { limits } from "./limits.ts";
import { parseBlock } from "./network.ts";
import type { Route, Signer } from "./route.ts";

const domain = z.string().refine((text) => isDomainName(text) && !text.startsWith("["));
const host = z
  .strictObject({
    host: z
      .string()
      .refine(
        (text) => parseIp(text) === text || isDomainName(text) || parseService(text) === text,
      ),
    port: z.int().min(0).max(65_535),
    priority: z.int().min(0),
    weight: z.int().min(0),
  })
  .refine((self) => isService(self.host) === (self.port === 0));
const credential = z.strictObject({ secret: z.string().max(400), version: z.string().max(256) });
const block = z
  .string()
  .max(64)
  .refine((text) => parseBlock(text) !== undefined);
const ms = z.int().min(0);
const count = z.int().min(0);
const line = z.string().max(2048);

const target = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("hosts"),
    hosts: z.array(host).max(limits.hostsMax),
  }),
  z.strictObject({ kind: z.literal("inbound") }),
  z.strictObject({ kind: z.literal("mx"), domain: domain.optional() }),
  z.strictObject({
    kind: z.literal("reject"),
    code: z.int().min(400).max(599),
    status: line,
    message: z
      .string()
      .max(limits.replyTextCharsMax)
      .regex(/^[ -~]+$/),
  }),
  z.strictObject({ kind: z.literal("discard") }),
]);

const auth = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("basic"), credential }),
  z.strictObject({
    kind: z.literal("oauth2"),
    tokenURL: z.string().max(limits.urlCharsMax).startsWith("https://"),
    clientID: line,
    scope: line.optional(),
    credential,
  }),
]);

const routeSchema = z.strictObject({
  id: z.string().regex(/^[a-z0-9-]{1,63}\/[a-z0-9.-]{1,253}$/),
  generation: count,
  access: z.enum(["Trusted", "Anyone"]),
  target,
  protocol: z.enum(["SMTP", "LMTP"]),
  heloName: domain.optional(),
  tls: z.strictObject({
    mode: z.enum(["Disabled", "Opportunistic", "Required", "Verified"]),
    serverName: domain.optional(),
    ca: credential.optional(),
    clientCertificate: credential.optional(),
  }),
  auth: auth.optional(),
  sign: z.literal(true).optional(),
  delivery: z.strictObject({
    maxConnections: count.optional(),
    maxMessagesPerConnection: count.optional(),
    maxMessagesPerSecond: count.optional(),
  }),
  retry: z.strictObject({
    initialMs: ms,
    maxMs: ms,
    expireAfterMs: ms,
    delayWarningAfterMs: ms,
  }),
  reach: z.union([z.literal("anywhere"), z.array(block).max(limits.grantHostsMax)]).optional(),
  unavailable: z.string().max(limits.unavailableCharsMax).optional(),
  heldUntilMs: ms.optional(),
});

const signerSchema = z.strictObject({
  domain: z.string().refine(isDomainName),
  selector: z.string().regex(/^[a-z0-9.-]{1,100}$/),
  key: credential.optional(),
  unavailable: z.string().max(limits.unavailableCharsMax).optional(),
});

/** The signer, or undefined where it is none. */
export function readSigner(raw: unknown): Signer | undefined {
  return signerSchema.safeParse(raw).data as Signer | undefined;
}

/** The route, or what is wrong with it. */
export function readRoute(raw: unknown): Route | string {
  const result = routeSchema.safeParse(raw);
  // The schema has checked what the brands promise.
  if (result.success) return result.data as unknown as Route;
  const [issue] = result.error.issues;
  return `route: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "is not valid"}`;
}
