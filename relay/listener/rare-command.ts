/** Commands that change nothing: answered the same whatever the session has come to. Pure. */
import * as S from "./step.ts";

const HTTP = /^(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|TRACE|CONNECT|PATCH)$/;

/** Commands that change no state, and those that are known and not served. */
export function rareCommand(verb: string, argument: string): S.Step {
  switch (verb) {
    case "VRFY":
      return argument === "" ? S.C501Vrfy : S.C252Vrfy;
    case "HELP":
      return S.C214Help;
    case "EXPN":
    case "ETRN":
    case "XCLIENT":
    case "XFORWARD":
      return S.C502Unsupported;
    default:
      return HTTP.test(verb) && /\bHTTP\/\d/i.test(argument) ? S.C421Http : S.C500Unknown;
  }
}
