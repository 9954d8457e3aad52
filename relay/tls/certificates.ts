/**
 * The listeners' certificates while the relay runs. Loop: looks at the files again and again (a mounted Secret's
 * swap, an ACME client's renewal); what does not fit keeps what is in force and is complained of until it does.
 */
import type { SecureContext } from "node:tls";
import type { TlsConfig } from "../config/tls.ts";
import { type Certificates, mailContext } from "../listener/tls-context.ts";
import { chooseByName } from "./name-choice.ts";
import { dateFault, type Pair, type PairFiles, readClientCa, readPair } from "./pair.ts";
import { type Fault, WatchedFiles } from "./watched-files.ts";

export type CertificateEvents = {
  /** A pair is in force: at first, and whenever its files have changed. */
  loaded(files: PairFiles, pair: Pair): void;
  /** The whole list of what a person must mend now. */
  faults(faults: readonly Fault[]): void;
};

export type WatchedCertificates = Certificates & { stop(): void };

export type CertificateOptions = {
  readonly config: TlsConfig;
  readonly events: CertificateEvents;
  readonly now: () => number;
  /** How often the files are looked at. */
  readonly lookMs?: number;
};

/** Throws where one of the files cannot be used; the message names setting, file and mend for each. */
export async function watchCertificates(options: CertificateOptions): Promise<WatchedCertificates> {
  const { config, events, now, lookMs = 5000 } = options;
  const shelf = new Shelf(config);
  const look = async (): Promise<void> => {
    for (const { files, pair } of await shelf.look()) events.loaded(files, pair);
  };
  await look();
  const unusable = shelf.faults().map(({ where, text }) => `${where}: ${text}`);
  if (unusable.length > 0) throw new Error(unusable.join("; "));
  events.faults(shelf.dateFaults(now()));
  let isLooking = false;
  const timer = setInterval(() => {
    if (isLooking) return;
    isLooking = true;
    void look().then(() => {
      isLooking = false;
      const kept = shelf
        .faults()
        .map(({ where, text }) => ({ where, text: `${text}; ${staying}` }));
      events.faults([...kept, ...shelf.dateFaults(now())]);
    });
  }, lookMs);
  timer.unref();
  return {
    context: (servername) => shelf.choose(servername).context,
    stop: () => clearInterval(timer),
  };
}

const staying = "what was there before stays in force";

/** The files as they are now: what would keep a relay from starting, and what it would warn of. */
export async function checkCertificates(
  config: TlsConfig,
  nowMs: number,
): Promise<{ readonly faults: readonly Fault[]; readonly warnings: readonly Fault[] }> {
  const shelf = new Shelf(config);
  await shelf.look();
  return { faults: shelf.faults(), warnings: shelf.dateFaults(nowMs) };
}

/** A pair in force. */
type Loaded = {
  readonly where: string;
  readonly files: PairFiles;
  readonly pair: Pair;
  readonly names: readonly string[];
  readonly context: SecureContext;
};

/** All certificates of a configuration, as they were when they were last good. */
class Shelf {
  choose: (servername: string | undefined) => Loaded = () => {
    throw new Error("no certificate is loaded");
  };
  #loaded: readonly Loaded[] = [];
  readonly #places: readonly {
    readonly where: string;
    readonly files: PairFiles;
    readonly watched: WatchedFiles<Pair>;
  }[];
  readonly #clientCa: WatchedFiles<string> | undefined;

  constructor({ certificates, clientCertificates: clients }: TlsConfig) {
    this.#places = certificates.map((files, index) => {
      const where = `tls.certificates.${index}`;
      const { certificateFile, keyFile } = files;
      const read = (): ReturnType<typeof readPair> => readPair(files, where);
      return { where, files, watched: new WatchedFiles([certificateFile, keyFile], read) };
    });
    this.#clientCa =
      clients && new WatchedFiles([clients.caFile], () => readClientCa(clients.caFile));
  }

  /** Reads what is not as it was; the answer is what has changed. */
  async look(): Promise<readonly Loaded[]> {
    const isNewCa = (await this.#clientCa?.look()) === true;
    const fresh = new Set<string>();
    for (const { where, watched } of this.#places) if (await watched.look()) fresh.add(where);
    if (fresh.size === 0 && !isNewCa) return [];
    const clientCa = this.#clientCa?.value;
    this.#loaded = this.#places.flatMap(({ where, files, watched: { value: pair } }) => {
      if (pair === undefined) return [];
      const context = mailContext({ ...pair, clientCa });
      return [{ where, files, pair, names: pair.names, context }];
    });
    const [first, ...others] = this.#loaded;
    if (first !== undefined) this.choose = chooseByName([first, ...others]);
    return this.#loaded.filter(({ where }) => fresh.has(where));
  }

  faults(): Fault[] {
    const all = [...this.#places.map(({ watched }) => watched.fault), this.#clientCa?.fault];
    return all.filter((fault) => fault !== undefined);
  }

  dateFaults(nowMs: number): Fault[] {
    return this.#loaded.flatMap(({ where, files, pair }) => {
      const text = dateFault(pair, files, nowMs);
      return text === undefined ? [] : [{ where: `${where}.certificateFile`, text }];
    });
  }
}
