/** `mailroute hash-password`: a password from standard input to the hash that the users' file wants. */
import { hashPassword } from "../relay/auth/password-hash.ts";
import { type Command, fail, print } from "./console.ts";

const bytesMax = 1024;

export const hashPasswordCommand: Command = {
  name: "hash-password",
  summary: "a password from standard input to a hash for authentication.usersFile",
  help: `mailroute hash-password

Reads a password, one line, from standard input and prints its argon2id hash, for a user's
\`password\` in authentication.usersFile (in quotes where the YAML is in one line):

  printf %s 'the password' | mailroute hash-password`,
  async run(args) {
    if (args.length > 0) return fail(["it takes no arguments: a password there is seen by others"]);
    let text = "";
    for await (const chunk of process.stdin) {
      text += String(chunk);
      if (text.length > bytesMax) return fail([`longer than ${bytesMax}: that is no password`]);
    }
    const password = text.replace(/\r?\n$/, "");
    if (password === "") return fail(["nothing came on standard input: pipe the password in"]);
    if (/[\r\n\0]/.test(password)) return fail(["more than one line came: pipe one password in"]);
    print(await hashPassword(password));
    return 0;
  },
};
