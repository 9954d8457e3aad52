/** `mailroute send`: hands one small message to a relay, to try it. Adapter over nodemailer. */
import { parseArgs } from "node:util";
import { createTransport } from "nodemailer";
import { type Command, fail, portOf, print, UsageError } from "./console.ts";

export const sendCommand: Command = {
  name: "send",
  summary: "hand a message to a relay, to try it",
  help: `mailroute send --to ADDRESS [--to ADDRESS ...]

  --from ADDRESS   the envelope sender (me@corp.example)
  --host HOST      the relay (127.0.0.1)
  --port N         its port (2525)
  --subject TEXT   (Hello)
  --text TEXT      (Sent by mailroute send.)`,
  async run(args) {
    const { values } = parseArgs({
      args,
      options: {
        to: { type: "string", multiple: true },
        from: { type: "string", default: "me@corp.example" },
        host: { type: "string", default: "127.0.0.1" },
        port: { type: "string", default: "2525" },
        subject: { type: "string", default: "Hello" },
        text: { type: "string", default: "Sent by mailroute send." },
      },
    });
    const { to, from, host, subject, text } = values;
    if (to === undefined) throw new UsageError("--to ADDRESS is missing");
    const transport = createTransport({
      host,
      port: portOf("--port", values.port),
      secure: false,
      tls: { rejectUnauthorized: false },
    });
    try {
      const sent = await transport.sendMail({ envelope: { from, to }, from, to, subject, text });
      print(sent.response);
      for (const address of sent.rejected) print(`refused: ${String(address)}`);
      return sent.rejected.length > 0 ? 1 : 0;
    } catch (error) {
      return fail([(error as Error).message]);
    } finally {
      transport.close();
    }
  },
};
