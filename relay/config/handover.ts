/** How relays of an installation hand their queues to each other when one of them leaves. Pure. */
import { z } from "zod";
import { path, port } from "./spellings.ts";

export const handoverSchema = z.strictObject({
  keyFile: path.describe(
    "A file with a key of at least 32 characters, the same for all relays of the installation and nobody else.",
  ),
  siblings: z
    .string()
    .min(1)
    .max(253)
    .describe("A host name whose addresses are the relays': a headless Service."),
  host: z.string().default("::").describe("Where other relays' messages are taken."),
  port: port.default(2601).describe("The same for all relays."),
  statefulSet: z
    .string()
    .min(1)
    .max(253)
    .optional()
    .describe(
      "The StatefulSet whose pod this is: a pod whose ordinal is not among its replicas any more hands its queue over before it leaves. Needs a cluster. Without it only `mailroute drain` does.",
    ),
  timeMsMax: z
    .int()
    .min(1000)
    .max(3_600_000)
    .default(60_000)
    .describe("How long a leaving relay hands over; what is left then stays on its volume."),
});

export type HandoverConfig = z.infer<typeof handoverSchema>;
