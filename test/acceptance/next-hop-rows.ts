/**
 * How next hops misbehave, and what becomes of the mail: a table, and its reader. A line is what the host does
 * (manners of relay/delivery/manners.testkit.ts, by stage), what holds for each recipient where it is the only
 * host, and whether another host is asked where there is one. Runs nothing.
 *
 *   STAGE=MANNER  connect, banner, ehlo, helo, starttls, handshake, auth, quit; mail: of the sender
 *   to=LOCALPART  a recipient, whose local part is his manner at RCPT, DATA, the body or the final dot
 *   tls           offers STARTTLS; mode=Required|Opportunistic; login: the route has a Secret
 *   ext=A,B       what EHLO offers ("SIZE:100" for a parameter); refuses=WORD:MANNER: at MAIL, a parameter
 *   8bit, utf8, dsn, lmtp, smtp (it speaks SMTP where the route says LMTP), forgetful
 */
export type Wanted = {
  readonly kind: "delivered" | "deferred" | "bounced";
  readonly cause: string | undefined;
  readonly code: number;
  readonly status: string;
  /** The host keeps a copy although it does not say so. */
  readonly lost: boolean;
  readonly another: boolean;
};

export type Row = {
  readonly title: string;
  readonly words: ReadonlySet<string>;
  readonly settings: ReadonlyMap<string, string>;
  readonly to: readonly string[];
  /** Of each recipient. */
  readonly wanted: readonly Wanted[];
};

const table = `
connect=refused                  | deferred connect 451 4.4.1  | another
banner=drop                      | deferred connect 451 4.4.2  | another
banner=reset                     | deferred connect 451 4.4.2  | another
banner=half                      | deferred connect 451 4.4.2  | another
banner=cut-220                   | deferred connect 451 4.4.2  | another
banner=hang                      | deferred timeout 451 4.4.2  | another
banner=open-220                  | deferred timeout 451 4.4.2  | another
banner=drip-220                  | deferred timeout 451 4.4.2  | another
banner=temp-421-4.3.2            | deferred reply 421 4.3.2    | another
banner=temp-450-4.7.1            | deferred reply 450 4.7.1    | another
banner=perm-554-5.7.1            | deferred reply 554 5.7.1    | another
banner=plain-421                 | deferred reply 421 4.0.0    | another
banner=bare-421                  | deferred reply 421 4.0.0    | another
banner=multi-421-4.7.0           | deferred reply 421 4.7.0    | another
banner=garbage                   | deferred protocol 451 4.5.0 | another
banner=binary                    | deferred protocol 451 4.5.0 | another
banner=endless                   | deferred protocol 451 4.5.0 | another
banner=line                      | deferred protocol 451 4.5.0 | another
banner=mixed-220                 | deferred protocol 451 4.5.0 | another
banner=say-250                   | deferred protocol 451 4.5.0 | another
banner=say-354                   | deferred protocol 451 4.5.0 | another
banner=say-150                   | deferred protocol 451 4.5.0 | another
banner=say-650                   | deferred protocol 451 4.5.0 | another
banner=twice                     | deferred protocol 451 4.5.0 | another
banner=rush                      | deferred protocol 451 4.5.0 | another
banner=multi-220                 | delivered 250 2.0.0
banner=split-220                 | delivered 250 2.0.0
banner=slow                      | delivered 250 2.0.0
banner=lf-220                    | delivered 250 2.0.0
banner=utf8-220                  | delivered 250 2.0.0
banner=latin1-220                | delivered 250 2.0.0
banner=long-220                  | delivered 250 2.0.0
banner=bare-220                  | delivered 250 2.0.0

ehlo=drop                        | deferred connect 451 4.4.2  | another
ehlo=reset                       | deferred connect 451 4.4.2  | another
ehlo=half                        | deferred connect 451 4.4.2  | another
ehlo=cut-250                     | deferred connect 451 4.4.2  | another
ehlo=hang                        | deferred timeout 451 4.4.2  | another
ehlo=open-250                    | deferred timeout 451 4.4.2  | another
ehlo=drip-250                    | deferred timeout 451 4.4.2  | another
ehlo=temp-421-4.3.2              | deferred reply 421 4.3.2    | another
ehlo=temp-450-4.7.1              | deferred reply 450 4.7.1    | another
ehlo=perm-550-5.7.1              | deferred reply 550 5.7.1    | another
ehlo=perm-502 helo=temp-450      | deferred reply 450 4.0.0    | another
ehlo=perm-500 helo=drop          | deferred connect 451 4.4.2  | another
ehlo=garbage                     | deferred protocol 451 4.5.0 | another
ehlo=binary                      | deferred protocol 451 4.5.0 | another
ehlo=endless                     | deferred protocol 451 4.5.0 | another
ehlo=line                        | deferred protocol 451 4.5.0 | another
ehlo=mixed-550                   | deferred protocol 451 4.5.0 | another
ehlo=say-354                     | deferred protocol 451 4.5.0 | another
ehlo=twice                       | deferred protocol 451 4.5.0 | another
ehlo=rush                        | deferred protocol 451 4.5.0 | another
ehlo=perm-502 helo=say-250       | delivered 250 2.0.0
ehlo=multi-250                   | delivered 250 2.0.0
ehlo=split-250                   | delivered 250 2.0.0
ehlo=utf8-250                    | delivered 250 2.0.0
ehlo=latin1-250                  | delivered 250 2.0.0
ehlo=long-250                    | delivered 250 2.0.0
ehlo=bare-250                    | delivered 250 2.0.0

tls mode=Required                           | delivered 250 2.0.0
mode=Required                               | deferred tls 451 4.7.5     | another
tls mode=Required starttls=temp-454         | deferred tls 451 4.7.5     | another
tls mode=Required starttls=perm-502         | deferred tls 451 4.7.5     | another
tls mode=Required starttls=drop             | deferred connect 451 4.4.2 | another
tls mode=Required starttls=hang             | deferred timeout 451 4.4.2 | another
tls mode=Required starttls=garbage          | deferred protocol 451 4.5.0 | another
tls mode=Required starttls=endless          | deferred protocol 451 4.5.0 | another
tls mode=Required starttls=rush             | deferred protocol 451 4.5.0 | another
tls mode=Opportunistic starttls=rush        | deferred protocol 451 4.5.0 | another
tls mode=Required handshake=garbage         | deferred tls 451 4.7.5     | another
tls mode=Required handshake=drop            | deferred tls 451 4.4.2     | another
tls mode=Required handshake=hang            | deferred tls 451 4.4.2     | another
tls mode=Opportunistic starttls=temp-454    | delivered 250 2.0.0
tls mode=Opportunistic starttls=perm-502    | delivered 250 2.0.0
tls mode=Opportunistic handshake=garbage    | delivered 250 2.0.0
tls mode=Opportunistic handshake=drop       | delivered 250 2.0.0
tls mode=Opportunistic handshake=hang       | delivered 250 2.0.0
tls login                                   | delivered 250 2.0.0
tls login ext=PIPELINING auth=none          | deferred auth 451 4.7.0    | another
tls login auth=perm-535-5.7.8               | deferred auth 535 5.7.8    | another
tls login auth=temp-454-4.7.0               | deferred auth 454 4.7.0    | another
tls login auth=temp-421-4.3.2               | deferred reply 421 4.3.2   | another
tls login auth=drop                         | deferred connect 451 4.4.2 | another
tls login auth=hang                         | deferred timeout 451 4.4.2 | another
tls login auth=garbage                      | deferred protocol 451 4.5.0 | another

mail=temp-450-4.7.1              | deferred reply 450 4.7.1    | another
mail=temp-452-4.3.1              | deferred reply 452 4.3.1    | another
mail=temp-421-4.3.2              | deferred reply 421 4.3.2    | another
mail=temp-451-5.7.1              | deferred reply 451 4.7.1    | another
mail=perm-530-5.7.0              | deferred auth 530 5.7.0     | another
mail=perm-550-5.7.1              | bounced 550 5.7.1
mail=perm-552-5.3.4              | bounced 552 5.3.4
mail=perm-501-5.1.7              | bounced 501 5.1.7
mail=perm-550-2.1.5              | bounced 550 5.1.5
mail=plain-550                   | bounced 550 5.0.0
mail=bare-550                    | bounced 550 5.0.0
mail=multi-550-5.7.1             | bounced 550 5.7.1
mail=utf8-550-5.7.1              | bounced 550 5.7.1
mail=latin1-550-5.7.1            | bounced 550 5.7.1
mail=drop                        | deferred connect 451 4.4.2  | another
mail=reset                       | deferred connect 451 4.4.2  | another
mail=half                        | deferred connect 451 4.4.2  | another
mail=cut                         | deferred connect 451 4.4.2  | another
mail=hang                        | deferred timeout 451 4.4.2  | another
mail=open-550                    | deferred timeout 451 4.4.2  | another
mail=drip-550                    | deferred timeout 451 4.4.2  | another
mail=garbage                     | deferred protocol 451 4.5.0 | another
mail=endless                     | deferred protocol 451 4.5.0 | another
mail=line                        | deferred protocol 451 4.5.0 | another
mail=mixed-550                   | deferred protocol 451 4.5.0 | another
mail=say-354                     | deferred protocol 451 4.5.0 | another
mail=say-650                     | deferred protocol 451 4.5.0 | another
mail=twice                       | deferred protocol 451 4.5.0 | another
mail=split-250                   | delivered 250 2.0.0
mail=slow                        | delivered 250 2.0.0
mail=lf-250                      | delivered 250 2.0.0
mail=long-250                    | delivered 250 2.0.0
mail=temp-450 ext=               | deferred reply 450 4.0.0    | another
mail=perm-550 ext=               | bounced 550 5.0.0
mail=drop ext=                   | deferred connect 451 4.4.2  | another
mail=twice ext=                  | deferred protocol 451 4.5.0 | another

to=temp-450-4.2.0                | deferred reply 450 4.2.0    | another
to=temp-452-4.5.3                | deferred reply 452 4.5.3    | another
to=temp-421-4.3.2                | deferred reply 421 4.3.2    | another
to=perm-552                      | deferred reply 452 4.0.0    | another
to=perm-552-5.5.3                | deferred reply 452 4.5.3    | another
to=perm-552-5.2.2                | bounced 552 5.2.2
to=perm-530-5.7.0                | deferred auth 530 5.7.0     | another
to=perm-550-5.1.1                | bounced 550 5.1.1
to=perm-551-5.1.6                | bounced 551 5.1.6
to=perm-553-5.1.3                | bounced 553 5.1.3
to=perm-550-4.1.1                | bounced 550 5.1.1
to=plain-550                     | bounced 550 5.0.0
to=bare-550                      | bounced 550 5.0.0
to=multi-550-5.1.1               | bounced 550 5.1.1
to=utf8-550-5.1.1                | bounced 550 5.1.1
to=split-550-5.1.1               | bounced 550 5.1.1
to=lf-550-5.1.1                  | bounced 550 5.1.1
to=drop                          | deferred connect 451 4.4.2  | another
to=reset                         | deferred connect 451 4.4.2  | another
to=half                          | deferred connect 451 4.4.2  | another
to=cut                           | deferred connect 451 4.4.2  | another
to=hang                          | deferred timeout 451 4.4.2  | another
to=open-550                      | deferred timeout 451 4.4.2  | another
to=garbage                       | deferred protocol 451 4.5.0 | another
to=binary                        | deferred protocol 451 4.5.0 | another
to=endless                       | deferred protocol 451 4.5.0 | another
to=mixed-550                     | deferred protocol 451 4.5.0 | another
to=say-354                       | deferred protocol 451 4.5.0 | another
to=twice                         | deferred protocol 451 4.5.0 | another
to=slow                          | delivered 250 2.0.0
to=say-251                       | delivered 250 2.0.0
to=temp-450 ext=                 | deferred reply 450 4.0.0    | another
to=perm-550 ext=                 | bounced 550 5.0.0
to=drop ext=                     | deferred connect 451 4.4.2  | another
to=hang ext=                     | deferred timeout 451 4.4.2  | another
to=twice ext=                    | deferred protocol 451 4.5.0 | another
to=a to=temp-450                 | delivered 250 2.0.0, deferred reply 450 4.0.0
to=a to=perm-550-5.1.1           | delivered 250 2.0.0, bounced 550 5.1.1
to=perm-550-5.1.1 to=temp-450    | bounced 550 5.1.1, deferred reply 450 4.0.0 | no, another
to=a to=drop                     | deferred connect 451 4.4.2, deferred connect 451 4.4.2 | another
to=a to=temp-421                 | deferred reply 421 4.0.0, deferred reply 421 4.0.0 | another
to=temp-450 to=drop              | deferred reply 450 4.0.0, deferred connect 451 4.4.2 | another
forgetful                        | deferred timeout 451 4.4.2  | another

to=data-temp-451-4.3.0           | deferred reply 451 4.3.0
to=data-temp-421-4.3.2           | deferred reply 421 4.3.2
to=data-perm-550-5.7.1           | bounced 550 5.7.1
to=data-perm-554-5.5.1           | bounced 554 5.5.1
to=data-perm-530-5.7.0           | deferred auth 530 5.7.0
to=data-plain-450                | deferred reply 450 4.0.0
to=data-multi-554-5.7.1          | bounced 554 5.7.1
to=data-drop                     | deferred connect 451 4.4.2  | another
to=data-reset                    | deferred connect 451 4.4.2  | another
to=data-half                     | deferred connect 451 4.4.2  | another
to=data-hang                     | deferred timeout 451 4.4.2  | another
to=data-open-354                 | deferred timeout 451 4.4.2  | another
to=data-garbage                  | deferred protocol 451 4.5.0 | another
to=data-endless                  | deferred protocol 451 4.5.0 | another
to=data-mixed-354                | deferred protocol 451 4.5.0 | another
to=data-say-250                  | deferred protocol 451 4.5.0 | another
to=data-rush                     | deferred protocol 451 4.5.0 | another
to=data-slow                     | delivered 250 2.0.0
to=data-temp-451 ext=            | deferred reply 451 4.0.0
to=data-drop ext=                | deferred connect 451 4.4.2  | another
to=data-say-250 ext=             | deferred protocol 451 4.5.0 | another

to=body-temp-452-4.3.1           | deferred reply 452 4.3.1
to=body-perm-552-5.3.4           | bounced 552 5.3.4
to=body-drop                     | deferred connect 451 4.4.2
to=body-reset                    | deferred connect 451 4.4.2
to=body-half                     | deferred connect 451 4.4.2
to=body-hang                     | deferred timeout 451 4.4.2
to=body-garbage                  | deferred protocol 451 4.5.0
to=body-endless                  | deferred protocol 451 4.5.0

to=final-temp-451-4.3.0          | deferred reply 451 4.3.0
to=final-temp-421-4.3.2          | deferred reply 421 4.3.2
to=final-temp-452-4.2.2          | deferred reply 452 4.2.2
to=final-temp-451-2.0.0          | deferred reply 451 4.0.0
to=final-perm-530-5.7.0          | deferred auth 530 5.7.0
to=final-perm-550-5.7.1          | bounced 550 5.7.1
to=final-perm-552-5.2.2          | bounced 552 5.2.2
to=final-perm-554-5.6.0          | bounced 554 5.6.0
to=final-perm-554-2.0.0          | bounced 554 5.0.0
to=final-plain-554               | bounced 554 5.0.0
to=final-bare-554                | bounced 554 5.0.0
to=final-multi-554-5.7.1         | bounced 554 5.7.1
to=final-utf8-554-5.7.1          | bounced 554 5.7.1
to=final-latin1-554-5.7.1        | bounced 554 5.7.1
to=final-drop                    | deferred connect 451 4.4.2
to=final-lose                    | deferred connect 451 4.4.2 lost
to=final-reset                   | deferred connect 451 4.4.2
to=final-half                    | deferred connect 451 4.4.2
to=final-cut                     | deferred connect 451 4.4.2
to=final-hang                    | deferred timeout 451 4.4.2
to=final-open-250                | deferred timeout 451 4.4.2
to=final-drip-250                | deferred timeout 451 4.4.2
to=final-garbage                 | deferred protocol 451 4.5.0
to=final-binary                  | deferred protocol 451 4.5.0
to=final-endless                 | deferred protocol 451 4.5.0
to=final-line                    | deferred protocol 451 4.5.0
to=final-mixed-550               | deferred protocol 451 4.5.0
to=final-say-354                 | deferred protocol 451 4.5.0 lost
to=final-say-650                 | deferred protocol 451 4.5.0
to=final-say-251                 | delivered 251 2.0.0
to=final-plain-250               | delivered 250 2.0.0
to=final-bare-250                | delivered 250 2.0.0
to=final-multi-250-2.6.0         | delivered 250 2.6.0
to=final-split-250               | delivered 250 2.0.0
to=final-slow                    | delivered 250 2.0.0
to=final-lf-250                  | delivered 250 2.0.0
to=final-utf8-250                | delivered 250 2.0.0
to=final-latin1-250              | delivered 250 2.0.0
to=final-long-250                | delivered 250 2.0.0
to=final-twice                   | delivered 250 2.0.0
to=final-temp-451 ext=           | deferred reply 451 4.0.0
to=final-perm-554 ext=           | bounced 554 5.0.0
to=final-lose ext=               | deferred connect 451 4.4.2 lost
quit=hang                        | delivered 250 2.0.0
quit=garbage                     | delivered 250 2.0.0

ext=SIZE:100                                  | bounced 552 5.3.4
ext=SIZE:0                                    | delivered 250 2.0.0
ext=SIZE:much                                 | delivered 250 2.0.0
refuses=SIZE=:perm-552-5.3.4                  | bounced 552 5.3.4
refuses=SIZE=:temp-452-4.3.1                  | deferred reply 452 4.3.1 | another
refuses=BODY=8BITMIME:perm-555-5.5.4 8bit     | bounced 555 5.5.4
ext=PIPELINING 8bit                           | delivered 250 2.0.0
ext= 8bit                                     | delivered 250 2.0.0
8bit                                          | delivered 250 2.0.0
ext=PIPELINING utf8                           | bounced 553 5.6.7
refuses=SMTPUTF8:perm-550-5.6.7 utf8          | bounced 550 5.6.7
utf8                                          | delivered 250 2.0.0
ext=DSN dsn                                   | delivered 250 2.0.0
ext=DSN refuses=RET=:perm-555-5.5.4 dsn       | bounced 555 5.5.4
ext=PIPELINING refuses=RET=:perm-555-5.5.4 dsn | delivered 250 2.0.0

lmtp                                          | delivered 250 2.0.0
lmtp smtp                                     | deferred reply 500 5.5.1 | another
lmtp to=a to=perm-550-5.1.1                   | delivered 250 2.0.0, bounced 550 5.1.1
lmtp to=a to=final-temp-452-4.2.2             | delivered 250 2.0.0, deferred reply 452 4.2.2
lmtp to=final-perm-550-5.2.1 to=a             | bounced 550 5.2.1, delivered 250 2.0.0
lmtp to=a to=final-drop                       | delivered 250 2.0.0, deferred connect 451 4.4.2
lmtp to=final-drop to=a                       | deferred connect 451 4.4.2, deferred connect 451 4.4.2 lost
lmtp to=a to=final-hang                       | delivered 250 2.0.0, deferred timeout 451 4.4.2
lmtp to=a to=final-garbage                    | delivered 250 2.0.0, deferred protocol 451 4.5.0
lmtp to=a to=final-mixed-550                  | delivered 250 2.0.0, deferred protocol 451 4.5.0
lmtp ext= to=a to=temp-450 to=final-perm-554  | delivered 250 2.0.0, deferred reply 450 4.0.0, bounced 554 5.0.0
`;

const flags = new Set(["tls", "login", "8bit", "utf8", "dsn", "lmtp", "smtp", "forgetful"]);
const names = "connect banner ehlo helo starttls handshake auth quit mail mode ext refuses to";
const known = new Set(names.split(" "));

/** Throws where the table has a word that nobody knows. */
export const rows: readonly Row[] = table
  .split("\n")
  .filter((line) => line.includes("|"))
  .map(parseRow);

function parseRow(line: string): Row {
  const [what = "", fates = "", others = ""] = line.split("|").map((part) => part.trim());
  const words = new Set<string>();
  const settings = new Map<string, string>();
  const to: string[] = [];
  for (const word of what.split(/\s+/)) {
    const [name = "", value] = [word.split("=", 1)[0], word.slice(word.indexOf("=") + 1)];
    if (flags.has(word)) words.add(word);
    else if (!known.has(name)) throw new Error(`the table has no word ${word}: ${line}`);
    else if (name === "to") to.push(value);
    else settings.set(name, value);
  }
  const asks = others.split(/,\s*/);
  const wanted = fates.split(/,\s*/).map((text, at) => parseWanted(text, asks[at] ?? asks[0]));
  const title = what.replace(/\s+/g, " ");
  return { title, words, settings, to: to.length === 0 ? ["a"] : to, wanted };
}

function parseWanted(text: string, ask: string | undefined): Wanted {
  const match = /^(delivered|deferred|bounced)(?: ([a-z]+))? (\d{3}) (\S+)( lost)?$/.exec(text);
  if (match === null) throw new Error(`no fate: ${text}`);
  const [, kind, cause, code, status = "", lost] = match;
  return {
    kind: kind as Wanted["kind"],
    cause,
    code: Number(code),
    status,
    lost: lost !== undefined,
    another: ask === "another",
  };
}
