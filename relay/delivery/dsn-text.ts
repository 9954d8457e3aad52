/** The part of a report that people read: what happened to each recipient, and what to do. Pure. */
import type { Reply } from "../outcome.ts";
import type { DsnAction } from "./dsn.ts";

type Hint = { readonly what: string; readonly remedy: string };

const resend = "Correct the address and send the message again.";
const askThem =
  "Reach the recipient in another way; only the people who run the other system can mend this.";

/** By RFC 3463 subject and detail, then by subject alone. */
const hints: ReadonlyMap<string, Hint> = new Map([
  ["1.1", { what: "There is no such mailbox.", remedy: resend }],
  ["1.2", { what: "There is no such mail domain.", remedy: resend }],
  ["1.3", { what: "The address is not written as a mail address.", remedy: resend }],
  ["1.6", { what: "The mailbox has moved.", remedy: "Ask the recipient for the new address." }],
  ["1.10", { what: "The domain takes no mail at all.", remedy: resend }],
  ["2.1", { what: "The mailbox is closed.", remedy: askThem }],
  ["2.2", { what: "The mailbox is full.", remedy: "Try again later, or tell the recipient." }],
  ["2.3", { what: "The message is too big for this mailbox.", remedy: "Send a smaller message." }],
  [
    "3.4",
    { what: "The message is too big for the next mail system.", remedy: "Send a smaller message." },
  ],
  [
    "3.5",
    { what: "A mail system on the way is not set up rightly.", remedy: "Tell your postmaster." },
  ],
  ["4.4", { what: "No mail host of the domain can be reached.", remedy: resend }],
  ["4.6", { what: "The message goes round in circles.", remedy: "Tell your postmaster." }],
  ["4.7", { what: "The message waited too long and has expired.", remedy: "Send it again later." }],
  [
    "6.7",
    {
      what: "The next mail system takes no international addresses.",
      remedy: "Use an ASCII address.",
    },
  ],
  ["7.1", { what: "The other system does not accept this message from you.", remedy: askThem }],
  ["1", { what: "Something is wrong with the address.", remedy: resend }],
  ["2", { what: "The mailbox cannot take the message.", remedy: askThem }],
  ["3", { what: "The other mail system cannot take the message.", remedy: askThem }],
  ["4", { what: "The other mail system could not be reached.", remedy: "Send it again later." }],
  [
    "5",
    { what: "The mail systems did not understand each other.", remedy: "Tell your postmaster." },
  ],
  [
    "6",
    { what: "The message's content cannot be passed on.", remedy: "Send it in another format." },
  ],
  ["7", { what: "A security rule keeps the message back.", remedy: askThem }],
]);

const unknown: Hint = { what: "The other mail system gave no reason.", remedy: askThem };

export type Told = {
  readonly address: string;
  readonly action: DsnAction;
  readonly reply: Reply;
  readonly hop?: string;
};

const arrivals: readonly (readonly [DsnAction, readonly string[]])[] = [
  [
    "relayed",
    [
      "Your message was passed on to a mail system that does not tell senders what becomes of",
      "their mail. You will hear no more of it unless it cannot be delivered there:",
    ],
  ],
  ["delivered", ["Your message was delivered to:"]],
];

/** Lines without line ends. */
export function explain(recipients: readonly Told[], reportingHostname: string): readonly string[] {
  const failed = recipients.filter(({ action }) => action === "failed");
  const delayed = recipients.filter(({ action }) => action === "delayed");
  const lines = [`This is the mail system at ${reportingHostname}.`, ""];
  if (failed.length > 0) {
    lines.push("Your message could not be delivered to:", "", ...failed.flatMap(paragraph));
  }
  if (delayed.length > 0) {
    lines.push(
      "Your message has not been delivered yet. There is nothing that you need to do:",
      "delivery goes on being tried. It waits for:",
      "",
      ...delayed.flatMap(paragraph),
    );
  }
  for (const [action, says] of arrivals) {
    const arrived = recipients.filter((each) => each.action === action);
    if (arrived.length > 0)
      lines.push(...says, "", ...arrived.map(({ address }) => `  ${address}`), "");
  }
  lines.push("The technical details are in the second part of this report,");
  lines.push("your message, or its header, is in the third.");
  return lines;
}

function paragraph({ address, action, reply, hop }: Told): readonly string[] {
  const [, subject = "", detail = ""] = reply.status.split(".");
  const hint = hints.get(`${subject}.${detail}`) ?? hints.get(subject) ?? unknown;
  const by = hop === undefined ? "The reason" : `What ${hop} said`;
  const said = `    ${by}: ${reply.code} ${reply.status} ${reply.text}`;
  return [
    `  ${address}`,
    `    ${hint.what}`,
    ...(action === "failed" ? [`    ${hint.remedy}`] : []),
    said,
    "",
  ];
}
