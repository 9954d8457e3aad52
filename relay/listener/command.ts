/**
 * Pure: the syntax of MAIL and RCPT (RFC 5321 section 4.1.2): path between < and >, then ESMTP
 * parameters. Says what is well-formed and which parameters are known; what an address means is
 * the reception's business.
 */
import {
  isEnvid,
  isNotify,
  isOrcpt,
  isRet,
  isSubmitter,
  messageDsn,
  recipientDsn,
} from "../dsn-request.ts";
import type { MailCommand, RcptCommand } from "./reception.ts";
import {
  C501Duplicate,
  C501Mail,
  C501Parameter,
  C501Rcpt,
  C501Recipient,
  C501Sender,
  C552Size,
  C553Utf8,
  C555Parameter,
  type Step,
} from "./step.ts";

type Parameters = ReadonlyMap<string, string | undefined>;

const NO_PARAMETERS: Parameters = new Map();
/** Outside quotes neither space nor bracket; inside, anything printable, with \ before any. */
const PATH = /<((?:[^"\\<>\s]|"(?:[^"\\]|\\.)*")*)>/uy;
const PARAMETER = /^([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\s=]+))?$/u;
const SIZE = /^\d{1,20}$/;
const NON_ASCII = /[^\x20-\x7e]/;

/** Known parameters of MAIL, each with the values that it takes (RFC 1870, 3461, 4954, 6152, 6531). */
const MAIL_PARAMETERS = new Map<string, (value: string | undefined) => boolean>([
  ["SIZE", (value) => value !== undefined && SIZE.test(value)],
  ["BODY", (value) => value !== undefined && /^(?:7BIT|8BITMIME)$/i.test(value)],
  ["SMTPUTF8", (value) => value === undefined],
  ["RET", isRet],
  ["ENVID", isEnvid],
  ["AUTH", isSubmitter],
]);
const RCPT_PARAMETERS: typeof MAIL_PARAMETERS = new Map([
  ["NOTIFY", isNotify],
  ["ORCPT", isOrcpt],
]);

/** Reads what follows "MAIL "; a `Step` is the refusal. */
export function parseMail(
  argument: string,
  limits: { readonly messageBytesMax: number },
): MailCommand | Step {
  const at = pathStart(argument, "FROM:");
  if (at < 0) return C501Mail;
  const path = readPath(argument, at);
  if (path === undefined) return C501Sender;
  const parameters = parseParameters(argument.slice(path.end), MAIL_PARAMETERS);
  if ("reply" in parameters) return parameters;
  const smtputf8 = parameters.has("SMTPUTF8");
  if (!smtputf8 && NON_ASCII.test(path.text)) return C553Utf8;
  const size = parameters.get("SIZE");
  if (size !== undefined && Number(size) > limits.messageBytesMax) return C552Size;
  return {
    path: path.text,
    parameters,
    smtputf8,
    dsn: messageDsn(parameters),
    eightBit: parameters.get("BODY")?.toUpperCase() === "8BITMIME",
    ...(size === undefined ? {} : { size: Number(size) }),
  };
}

/** Reads what follows "RCPT "; `smtputf8` is what MAIL said. A `Step` is the refusal. */
export function parseRcpt(
  argument: string,
  transaction: { readonly smtputf8: boolean },
): RcptCommand | Step {
  const at = pathStart(argument, "TO:");
  if (at < 0) return C501Rcpt;
  const path = readPath(argument, at);
  if (path === undefined || path.text === "") return C501Recipient;
  const parameters = parseParameters(argument.slice(path.end), RCPT_PARAMETERS);
  if ("reply" in parameters) return parameters;
  if (!transaction.smtputf8 && NON_ASCII.test(path.text)) return C553Utf8;
  return { path: path.text, parameters, dsn: recipientDsn(parameters) };
}

/** Where the path begins, or -1. A space after the colon is wrong but common: let it pass. */
function pathStart(argument: string, keyword: string): number {
  if (argument.slice(0, keyword.length).toUpperCase() !== keyword) return -1;
  let at = keyword.length;
  while (argument[at] === " ") at += 1;
  return at;
}

function readPath(argument: string, at: number): { text: string; end: number } | undefined {
  PATH.lastIndex = at;
  const match = PATH.exec(argument);
  if (match === null) return undefined;
  const next = argument[PATH.lastIndex];
  if (next !== undefined && next !== " ") return undefined;
  return { text: match[1] ?? "", end: PATH.lastIndex };
}

function parseParameters(text: string, known: typeof MAIL_PARAMETERS): Parameters | Step {
  const words = text.trim();
  if (words === "") return NO_PARAMETERS;
  const parameters = new Map<string, string | undefined>();
  for (const word of words.split(/ +/)) {
    const match = PARAMETER.exec(word);
    if (match?.[1] === undefined) return C501Parameter;
    const keyword = match[1].toUpperCase();
    const takes = known.get(keyword);
    if (takes === undefined) return C555Parameter;
    if (!takes(match[2])) return C501Parameter;
    if (parameters.has(keyword)) return C501Duplicate;
    parameters.set(keyword, match[2]);
  }
  return parameters;
}
