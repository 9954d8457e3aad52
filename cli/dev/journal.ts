/**
 * What `mailroute dev` shows: the relay's own log as rows for a person, newest last, bounded. Pure state;
 * a row joins the log's line with the message that arrived, by the relay's id.
 */
export type Row = {
  readonly number: number;
  readonly time: string;
  readonly event: string;
  readonly from: string;
  readonly to: string;
  /** Where it went: "host:port", or why it went nowhere. */
  readonly where: string;
  readonly why: string;
  readonly id: string;
};

type Line = Readonly<Record<string, unknown>>;

const rowsMax = 500;
const bodiesMax = 500;
const bodyBytesKept = 64 * 1024;
const relayId = /^\s+with \S+ id ([0-9a-z]+)/m;

export class Journal {
  readonly #rows: Row[] = [];
  readonly #bodies = new Map<string, string>();
  #count = 0;

  /** Takes a line of the relay's log; the row that it made, if it is about mail. */
  take(line: Line): Row | undefined {
    const told = tell(line);
    if (told === undefined) return undefined;
    const row = { number: this.#count++, time: text(line, "time"), id: text(line, "id"), ...told };
    this.#rows.push(row);
    if (this.#rows.length > rowsMax) this.#rows.shift();
    return row;
  }

  /** Keeps what arrived, the first 64 KiB, under the id in its Received line. */
  keep(body: Buffer): void {
    const shown = body.toString("utf8", 0, bodyBytesKept);
    const id = relayId.exec(shown)?.[1];
    if (id === undefined) return;
    this.#bodies.set(id, shown);
    const [oldest] = this.#bodies.keys();
    if (this.#bodies.size > bodiesMax && oldest !== undefined) this.#bodies.delete(oldest);
  }

  rowsAfter(number: number): readonly Row[] {
    return this.#rows.filter((row) => row.number > number);
  }

  body(id: string): string | undefined {
    return this.#bodies.get(id);
  }
}

function tell(line: Line): Pick<Row, "event" | "from" | "to" | "where" | "why"> | undefined {
  const event = text(line, "event");
  const from = text(line, "from");
  const to = text(line, "to");
  const reply = `${text(line, "code")} ${text(line, "status")} ${text(line, "text")}`;
  switch (event) {
    case "delivered":
      return { event, from, to, where: text(line, "hop"), why: reason(line) };
    case "deferred":
    case "bounced":
      return { event, from, to, where: reply, why: reason(line) };
    case "refused":
      return { event, from, to, where: reply, why: text(line, "reason") };
    case "reported":
      return {
        event,
        from: "",
        to,
        where: "a report of the failure",
        why: `about ${text(line, "about")}`,
      };
    default:
      return undefined;
  }
}

function reason(line: Line): string {
  const route = text(line, "route");
  const key = text(line, "key");
  if (route === "outbound") return "no MailRoute names the domain: by MX";
  return route === ""
    ? "no route now"
    : `${key.replace(":", " ")} of ${route} is the most specific that matches`;
}

function text(line: Line, field: string): string {
  const value = line[field];
  return value === undefined ? "" : String(value);
}
