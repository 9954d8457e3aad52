/** Every target of the fuzzer. */
import { addresses } from "./addresses.ts";
import { authors } from "./authors.ts";
import { bodies } from "./bodies.ts";
import { commands } from "./commands.ts";
import { proxyHeaders } from "./proxy-headers.ts";
import { sasl } from "./sasl.ts";
import { sessions } from "./sessions.ts";
import type { Target } from "./target.ts";

export const targets: readonly Target[] = [
  sessions,
  bodies,
  commands,
  addresses,
  authors,
  proxyHeaders,
  sasl,
];
