/**
 * What is outside of a test's own node: a network beside its own, on the same wire, with addresses to come from and a
 * balancer. Adapter over ip, passage.ts and Debian's HAProxy; all of it ends with the node.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { TestClient } from "../../relay/listener/dialog.testkit.ts";
import { greet, say } from "../acceptance/client.ts";
import { eventually } from "../ledger/relay-process.ts";
import type { OwnNode } from "./own-node.ts";

/** The node's own address, to which all of its NodePorts belong. */
const node = "192.0.2.1";
export const addresses = {
  balancer: "192.0.2.9",
  /** In a network that the tests trust, as is the balancer. */
  trusted: "192.0.2.50",
  stranger: "192.0.2.77",
};
const balancerPort = 25;

export type Place = {
  readonly from: string;
  /** A NodePort. */
  readonly port: number;
};

export class Outside {
  readonly #own: OwnNode;
  readonly #socket: string;
  readonly #pid: number;

  private constructor(own: OwnNode, socket: string, pid: number) {
    this.#own = own;
    this.#socket = socket;
    this.#pid = pid;
  }

  /** Once for a node. */
  static async begin(own: OwnNode): Promise<Outside> {
    const socket = join(own.state, "outside.sock");
    const passage = join(import.meta.dirname, "passage.ts");
    await own.launch("outside", ["unshare", "--net", process.execPath, passage, socket]);
    await eventually(() => existsSync(socket), { msMax: 20_000, what: "the passage is open" });
    const pid = Number(readFileSync(join(own.state, "outside.pid"), "utf8"));
    const wire = ["outside0", "type", "veth", "peer", "name", "wire0", "netns", String(pid)];
    await own.run(["ip", "link", "add", ...wire]);
    await own.run(["ip", "link", "set", "outside0", "master", "node0", "up"]);
    await own.run(["ip", "link", "set", "lo", "up"], pid);
    for (const address of Object.values(addresses))
      await own.run(["ip", "address", "add", `${address}/24`, "dev", "wire0"], pid);
    await own.run(["ip", "link", "set", "wire0", "up"], pid);
    return new Outside(own, socket, pid);
  }

  /** A connection to the node, whose banner has not been read. */
  dial({ from, port }: Place): TestClient {
    return this.#dial({ host: node, port, localAddress: from });
  }

  /** The same through the balancer. */
  dialBalancer(from: string): TestClient {
    return this.#dial({ host: addresses.balancer, port: balancerPort, localAddress: from });
  }

  /** Starts HAProxy, which passes connections on to that NodePort, with PROXY headers of version 2. */
  async balance(options: { readonly program: string; readonly port: number }): Promise<void> {
    const file = join(this.#own.state, "haproxy.cfg");
    writeFileSync(file, configuration(options.port));
    const inside = ["nsenter", `--net=/proc/${this.#pid}/ns/net`];
    await this.#own.launch("haproxy", [...inside, options.program, "-db", "-f", file]);
    const isPassing = async (): Promise<boolean> => {
      const client = this.dialBalancer(addresses.stranger);
      const isGreeted = (await client.reply()).startsWith("220 ");
      client.socket.destroy();
      return isGreeted;
    };
    await eventually(isPassing, { msMax: 20_000, what: "HAProxy passes on", everyMs: 200 });
  }

  #dial(to: { host: string; port: number; localAddress: string }): TestClient {
    const client = new TestClient(0, connect(this.#socket));
    client.send(`${JSON.stringify(to)}\n`);
    return client;
  }
}

/** A connection over TLS from its first byte (RFC 8314) that has said EHLO. */
export async function greetedOverTls(client: TestClient): Promise<TestClient> {
  await client.startTls();
  return await greet(client);
}

/** The answer to a token that is shown as the password (RFC 4616). */
export async function showToken(client: TestClient, token: string): Promise<string> {
  return await say(client, `AUTH PLAIN ${Buffer.from(`\0token\0${token}`).toString("base64")}`);
}

function configuration(port: number): string {
  return `
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen smtp
  bind ${addresses.balancer}:${balancerPort}
  source ${addresses.balancer}
  option smtpchk EHLO balancer.test
  server relays ${node}:${port} send-proxy-v2 check inter 1s
`;
}
