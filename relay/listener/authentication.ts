/**
 * AUTH within a session (RFC 4954): which exchange is open, what each line of it is answered, and how many
 * have failed. Pure but for the question whether credentials are right, which is the reception's. Whether AUTH
 * may come now is dialogue.ts's matter.
 */
import { type Login, type Mechanism, mechanisms } from "../auth/identity.ts";
import {
  type Exchange,
  failureChallenge,
  firstResponse,
  type SaslStep,
  startExchange,
} from "../auth/sasl.ts";
import { assertNever } from "../outcome.ts";
import type { Client, Reception } from "./reception.ts";
import * as S from "./step.ts";

type Answer = S.Step | Promise<S.Step>;

export type AuthenticationOptions = {
  readonly client: Client;
  readonly reception: Reception;
  /** A hook of the reception threw: the client got 454 4.7.0. */
  readonly failed: (error: unknown) => void;
};

/** Failures of one connection; then 421. */
const failuresMax = 3;

type Open =
  | { readonly kind: "exchange"; readonly mechanism: Mechanism; readonly exchange: Exchange }
  /** The client has been told why it fails and acknowledges that, whatever it says. */
  | { readonly kind: "dismissal" };

export class Authentication {
  login: Login | undefined;
  readonly #options: AuthenticationOptions;
  #open: Open | undefined;
  #failures = 0;

  constructor(options: AuthenticationOptions) {
    this.#options = options;
  }

  /** The next line belongs to an exchange. */
  get isOpen(): boolean {
    return this.#open !== undefined;
  }

  /** What EHLO says, where there is anything to say. */
  get offer(): string | undefined {
    return this.#options.reception.authenticate === undefined
      ? undefined
      : `AUTH ${mechanisms.join(" ")}`;
  }

  /** STARTTLS, or a line that is none: what was begun is over. */
  abandon(): void {
    this.#open = undefined;
  }

  /** `argument` is what follows "AUTH ". */
  begin(argument: string): Answer {
    const [name = "", initial, ...more] = argument.split(/ +/);
    if (name === "" || more.length > 0) return S.C501Auth;
    const mechanism = mechanisms.find((each) => each === name.toUpperCase());
    if (mechanism === undefined) return S.C504Mechanism;
    const { exchange, firstChallenge } = startExchange(mechanism);
    this.#open = { kind: "exchange", mechanism, exchange };
    if (initial === undefined) return S.challenge(firstChallenge);
    return this.#after(firstResponse(exchange, initial), mechanism);
  }

  /** A line of the open exchange. */
  next(line: string): Answer {
    const open = this.#open;
    if (open === undefined) return S.C503Hello;
    if (open.kind === "exchange") return this.#after(open.exchange.next(line), open.mechanism);
    this.#open = undefined;
    return this.#wrong();
  }

  #after(step: SaslStep, mechanism: Mechanism): Answer {
    if (step.kind === "challenge") return S.challenge(step.text);
    this.#open = undefined;
    switch (step.kind) {
      case "malformed":
        return S.C501Exchange;
      case "cancelled":
        return S.C501Cancelled;
      case "credentials": {
        const { client, reception, failed } = this.#options;
        const asked = reception.authenticate?.(client, step.credentials);
        if (asked === undefined) return S.C502Unsupported;
        return asked.then(
          (verdict) => this.#judged(verdict, mechanism),
          (error: unknown) => {
            failed(error);
            return S.C454Authentication;
          },
        );
      }
      default:
        return assertNever(step);
    }
  }

  #judged(verdict: Awaited<ReturnType<NonNullable<Reception["authenticate"]>>>, by: Mechanism) {
    switch (verdict.kind) {
      case "authenticated":
        this.login = verdict.login;
        return S.C235Authenticated;
      case "unavailable":
        return S.C454Authentication;
      case "invalid": {
        const why = failureChallenge(by);
        if (why === undefined) return this.#wrong();
        this.#open = { kind: "dismissal" };
        return S.challenge(why);
      }
      default:
        return assertNever(verdict);
    }
  }

  #wrong(): S.Step {
    this.#failures += 1;
    return this.#failures < failuresMax ? S.C535Credentials : S.C421Authentication;
  }
}
