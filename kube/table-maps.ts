/** How a route table stands in ConfigMaps, for the operator that writes and the relays that read. Pure. */
import type { KubeObject } from "./api.ts";

/** Plain JSON goes into `data`, where people can read it; gzip into `binaryData`. */
export function shardData(bytes: Uint8Array): object {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const isGzip = buffer[0] === 0x1f && buffer[1] === 0x8b;
  return isGzip
    ? { binaryData: { "shard.json.gz": buffer.toString("base64") } }
    : { data: { "shard.json": buffer.toString() } };
}

/** Empty where the ConfigMap is not a shard: its hash then fits no manifest. */
export function bytesOfShard(configMap: KubeObject): Uint8Array {
  const plain = (configMap["data"] as Record<string, string> | undefined)?.["shard.json"];
  const packed = (configMap["binaryData"] as Record<string, string> | undefined)?.["shard.json.gz"];
  return packed === undefined ? Buffer.from(plain ?? "") : Buffer.from(packed, "base64");
}

export type ManifestMap = {
  readonly manifest: string;
  readonly history: readonly (readonly string[])[];
};

export function manifestOf(configMap: KubeObject): ManifestMap {
  const data = (configMap["data"] ?? {}) as Record<string, string>;
  return { manifest: data["manifest.json"] ?? "", history: historyOf(data["history.json"]) };
}

/** A damaged history only costs old shards their reprieve. */
function historyOf(text = "[]"): readonly (readonly string[])[] {
  try {
    const lists: unknown = JSON.parse(text);
    return Array.isArray(lists)
      ? lists.filter((list) => Array.isArray(list)).map((list) => list.map(String))
      : [];
  } catch {
    return [];
  }
}
