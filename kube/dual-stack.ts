/** What "every address" means on a machine without IPv6: where to listen then. Adapter over node:net. */
import type { ListenOptions, Server } from "node:net";

/**
 * Where to listen instead, when listening on `host` failed so: "0.0.0.0" in place of "::" where the kernel has
 * no IPv6, otherwise undefined. Where IPv6 is only switched off by sysctl, "::" can be had and takes IPv4.
 */
export function hostWithoutIpv6(host: string, failure: unknown): "0.0.0.0" | undefined {
  const { code } = failure as { readonly code?: unknown };
  const isMissing = code === "EAFNOSUPPORT" || code === "EADDRNOTAVAIL";
  return host === "::" && isMissing ? "0.0.0.0" : undefined;
}

/** Resolves once it listens, with "::" on IPv4 alone where there is no other. Rejects with the listening error. */
export async function listenOn(
  server: Pick<Server, "listen" | "once" | "off">,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<void> {
  try {
    await listening(server, { host, port });
  } catch (cause) {
    const ipv4 = hostWithoutIpv6(host, cause);
    if (ipv4 === undefined) throw cause;
    await listening(server, { host: ipv4, port });
  }
}

function listening(
  server: Pick<Server, "listen" | "once" | "off">,
  { host, port }: ListenOptions,
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
