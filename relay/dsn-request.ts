/**
 * What a sender asks to be told (RFC 3461): the DSN parameters of MAIL and RCPT, read, kept, and written for the
 * next hop. Pure.
 */
export const notifications = ["SUCCESS", "FAILURE", "DELAY"] as const;
export type Notification = (typeof notifications)[number];

/** Of a message: how much of it comes back, and by which name its sender knows it. */
export type MessageDsn = {
  readonly ret?: "FULL" | "HDRS" | undefined;
  /** Decoded: printable ASCII. */
  readonly envid?: string | undefined;
};

/** Of a recipient: when its sender is told, and which recipient it was once. */
export type RecipientDsn = {
  /** Empty: never. Left out: on failure, and on delay as we see fit. */
  readonly notify?: readonly Notification[] | undefined;
  /** "rfc822;user@corp.example", decoded. */
  readonly orcpt?: string | undefined;
};

type Parameters = ReadonlyMap<string, string | undefined>;

/** RFC 3461 sections 4.4 and 4.2, of what is decoded. */
const envidCharsMax = 100;
const orcptCharsMax = 500;
const xtext = /^(?:[!-*,-<>-~]|\+[0-9A-F]{2})*$/;
const printable = /^[\x20-\x7e]+$/;

export const isRet = (value: string | undefined): boolean => /^(?:FULL|HDRS)$/i.test(value ?? "");

export const isEnvid = (value: string | undefined): boolean =>
  isXtext(value, envidCharsMax) && printable.test(decodeXtext(value ?? ""));

/** RFC 4954 section 5: who first submitted it. Whoever offers AUTH takes it; nobody believes it here. */
export const isSubmitter = (value: string | undefined): boolean =>
  value === "<>" || isXtext(value, orcptCharsMax);

export function isNotify(value: string | undefined): boolean {
  const words = (value ?? "").toUpperCase().split(",");
  if (words.length === 1 && words[0] === "NEVER") return true;
  const known = words.every((word) => notifications.some((each) => each === word));
  return known && new Set(words).size === words.length;
}

/** An address type that is an atom, and an address of that type. */
export function isOrcpt(value: string | undefined): boolean {
  const [, address] = /^[A-Za-z0-9][A-Za-z0-9-]{0,30};(.+)$/.exec(value ?? "") ?? [];
  return isXtext(address, orcptCharsMax) && printable.test(decodeXtext(address ?? ""));
}

/** Of parameters that have been checked. */
export function messageDsn(parameters: Parameters): MessageDsn {
  const ret = parameters.get("RET")?.toUpperCase();
  const envid = parameters.get("ENVID");
  return {
    ...(ret !== undefined && { ret: ret === "FULL" ? "FULL" : "HDRS" }),
    ...(envid !== undefined && { envid: decodeXtext(envid) }),
  };
}

export function recipientDsn(parameters: Parameters): RecipientDsn {
  const words = parameters.get("NOTIFY")?.toUpperCase().split(",");
  const orcpt = parameters.get("ORCPT");
  return {
    ...(words !== undefined && { notify: notifications.filter((each) => words.includes(each)) }),
    ...(orcpt !== undefined && { orcpt: decodeXtext(orcpt) }),
  };
}

/** With a space before each, as they follow MAIL's path. */
export function messageParameters({ ret, envid }: MessageDsn): string {
  const returned = ret === undefined ? "" : ` RET=${ret}`;
  return envid === undefined ? returned : `${returned} ENVID=${encodeXtext(envid)}`;
}

export function recipientParameters({ notify, orcpt }: RecipientDsn): string {
  const words = notify?.length === 0 ? "NEVER" : notify?.join(",");
  const told = words === undefined ? "" : ` NOTIFY=${words}`;
  if (orcpt === undefined) return told;
  const semicolon = orcpt.indexOf(";") + 1;
  const address = encodeXtext(orcpt.slice(semicolon));
  return `${told} ORCPT=${orcpt.slice(0, semicolon)}${address}`;
}

/** Whether the sender of this recipient wants to hear of it; `otherwise` where he has not said. */
export function isWanted(
  { notify }: RecipientDsn,
  what: Notification,
  otherwise: "told" | "untold",
): boolean {
  return notify === undefined ? otherwise === "told" : notify.includes(what);
}

function isXtext(value: string | undefined, charsMax: number): boolean {
  return (
    value !== undefined &&
    value !== "" &&
    xtext.test(value) &&
    decodeXtext(value).length <= charsMax
  );
}

/** RFC 3461 section 4. */
function decodeXtext(text: string): string {
  return text.replace(/\+([0-9A-F]{2})/g, (_all, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

function encodeXtext(text: string): string {
  return text.replace(
    /[^!-*,-<>-~]/g,
    (char) => `+${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
}
