/** Reads a delivery report as its receivers do: RFC 3464 in a multipart/report (RFC 6522). */

export type Report = {
  readonly headers: ReadonlyMap<string, string>;
  /** Content-Type of each part, without parameters. */
  readonly types: readonly string[];
  readonly text: string;
  /** Fields of the message, then of each recipient; names in lower case. */
  readonly message: ReadonlyMap<string, string>;
  readonly recipients: readonly ReadonlyMap<string, string>[];
  readonly original: string;
};

/** Throws where it is no report. */
export function parseReport(message: string): Report {
  const [head, body] = split(message);
  const headers = fields(head);
  const contentType = headers.get("content-type") ?? "";
  const boundary = /boundary="?([^";]+)"?/i.exec(contentType)?.[1];
  if (!/^multipart\/report\b/i.test(contentType) || boundary === undefined) {
    throw new Error(`not a report: ${contentType}`);
  }
  const pieces = `\r\n${body}`.split(`\r\n--${boundary}`);
  if (!pieces.at(-1)?.startsWith("--")) throw new Error("the last boundary is missing");
  const parts = pieces.slice(1, -1).map((piece) => split(piece.replace(/^\r\n/, "")));
  const types = parts.map(([partHead]) =>
    (fields(partHead).get("content-type") ?? "").replace(/;.*/s, ""),
  );
  const groups = (parts[1]?.[1] ?? "")
    .trim()
    .split(/\r\n\r\n/)
    .map(fields);
  return {
    headers,
    types,
    text: parts[0]?.[1] ?? "",
    message: groups[0] ?? new Map(),
    recipients: groups.slice(1),
    original: parts[2]?.[1] ?? "",
  };
}

function split(message: string): [head: string, body: string] {
  const end = message.indexOf("\r\n\r\n");
  return end < 0 ? [message, ""] : [message.slice(0, end), message.slice(end + 4)];
}

function fields(head: string): ReadonlyMap<string, string> {
  const unfolded = head.replace(/\r\n(?=[ \t])/g, "").split("\r\n");
  return new Map(
    unfolded.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
}
