/** The listeners' TLS in the configuration file: certificates, and the clients who show one. A schema. */
import { z } from "zod";
import { parseDomain } from "../../routing/domain.ts";
import { path } from "./spellings.ts";

const clientName = z
  .string()
  .min(1)
  .max(253)
  .refine((text) => !text.replace(/^\*\./, "").includes("*") && isDomainBehindStar(text), {
    error: "is not a name: write it like printer.corp.example, or *.printers.corp.example",
  });

/** An exact name may be any common name, but what a wildcard covers are domains. */
function isDomainBehindStar(text: string): boolean {
  return !text.startsWith("*.") || parseDomain(text.slice(2)) !== undefined;
}

const pair = z.strictObject({
  certificateFile: path.describe("PEM, the chain included."),
  keyFile: path.describe("PEM, without passphrase."),
});

const clientCertificates = z
  .strictObject({
    caFile: path.describe("PEM: the CAs that sign clients' certificates, and no public ones."),
    names: z
      .array(clientName)
      .min(1, "needs at least one name: list the clients that are trusted")
      .max(1024)
      .describe(
        "DNS names (or, in certificates without any, common names) whose certificates make a client trusted; *.example stands for exactly one label more.",
      ),
  })
  .describe(
    "Clients that are trusted by their certificate. It is asked for and never required: whoever shows none, or one that does not verify or is not listed, is served as anybody else.",
  );

export const tlsSchema = z
  .strictObject({
    certificates: z
      .array(pair)
      .min(1, "needs at least one certificate")
      .max(64)
      .describe(
        "Read again when they change; a pair that does not fit keeps the one in force. A client gets the one for the name that it asks for (SNI), by the certificate's DNS names and wildcards, otherwise the first.",
      ),
    clientCertificates: clientCertificates.optional(),
  })
  .describe("TLS of the listeners, 1.2 and up; without it there is none.");

export type TlsConfig = z.infer<typeof tlsSchema>;
