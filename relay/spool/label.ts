/**
 * What the spool is: format, owner, the salt of its journal, in `spool.json`. Adapter over one small file that is
 * replaced whole and synced. It knows nothing of messages.
 */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { parsedJson } from "../parsed-json.ts";
import { replaceSynced } from "../synced.ts";
import { markerOf, saltBytes } from "./frame.ts";
import { spoolFormat } from "./records.ts";
import { SpoolError } from "./spool-error.ts";

const fileName = "spool.json";

/** Read still, never written. */
const oldFormat = 1;

/** What every format, also a newer one, begins with. */
const formatSchema = z.looseObject({ format: z.int() });
const labelSchema = z.strictObject({
  format: z.union([z.literal(oldFormat), z.literal(spoolFormat)]),
  owner: z.string(),
  salt: z.string().regex(new RegExp(`^[0-9a-f]{${saltBytes * 2}}$`)),
  /** Up to this one, segments are of format 1. */
  unnumbered: z.int().optional(),
  /** Segments that were put back from a copy, and which file each is: they are this spool's now. */
  adopted: z.record(z.string(), z.string()).optional(),
  /** Drained: no relay may use it any more. */
  retired: z.boolean().optional(),
});

export type Label = Readonly<z.infer<typeof labelSchema>>;

/** Undefined where there is none yet. Throws SpoolError where it is of a newer format, or cannot be read. */
export function readLabel(directory: string): Label | undefined {
  const path = join(directory, fileName);
  if (!existsSync(path)) return undefined;
  const value = parsedJson(readFileSync(path, "utf8"));
  const format = formatSchema.safeParse(value).data?.format;
  if (format !== undefined && format > spoolFormat) {
    throw new SpoolError(
      `the spool ${directory} has format ${format}, this version reads none above ${spoolFormat}: use the newer version that wrote it`,
    );
  }
  const label = labelSchema.safeParse(value);
  if (label.success) return label.data;
  const { issues } = label.error;
  const unknown = issues.flatMap((each) => (each.code === "unrecognized_keys" ? each.keys : []));
  // With others amiss it is no newer one, but one whose words are damaged.
  if (issues.length === 1 && unknown.length > 0) {
    throw new SpoolError(
      `${path} says ${unknown.join(", ")}, which this version does not know: use the version that wrote it`,
    );
  }
  throw new SpoolError(
    `${path} is damaged: without it the spool cannot be read. Put it back from a copy (its salt is also the first ${saltBytes} octets of every file in journal/), or give the relay another spool.directory`,
  );
}

export function freshLabel(owner: string): Label {
  return { format: spoolFormat, owner, salt: randomBytes(saltBytes).toString("hex") };
}

/** What every frame of a segment begins with. */
export type Markers = (segment: number) => Buffer;

export function markersOf({ format, salt, unnumbered = 0 }: Label): Markers {
  const octets = Buffer.from(salt, "hex");
  return (segment) =>
    format === oldFormat || segment <= unnumbered ? octets : markerOf(octets, segment);
}

/** A spool of an older format, whose newest segment is given, goes on in this one. */
export function inThisFormat(label: Label, newest: number): Label {
  return label.format === spoolFormat
    ? label
    : { ...label, format: spoolFormat, unnumbered: newest };
}

/** On disk when it resolves. */
export async function writeLabel(directory: string, label: Label): Promise<void> {
  await replaceSynced(join(directory, fileName), `${JSON.stringify(label)}\n`);
}
