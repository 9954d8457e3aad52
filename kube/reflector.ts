/**
 * List and watch of one kind of object: paged list, bookmarks, resume by resourceVersion, relist on 410, an
 * inactivity timer, jittered back-off. Loop: owns time and order for one path; whoever uses it gets the whole
 * state after a list, and each change after that, as lean objects. It never ends by itself, whatever the API
 * server does.
 */
import { AnswerTooLarge, type Api, type ApiAnswer, ApiError, type KubeObject } from "./api.ts";
import { errorText } from "./error-text.ts";
import { lean } from "./lean.ts";
import { lines } from "./lines.ts";

export type Change =
  /** The whole state, after each list: all of its pages, or nothing. */
  | { readonly type: "listed"; readonly objects: readonly KubeObject[] }
  | { readonly type: "set"; readonly object: KubeObject }
  | { readonly type: "deleted"; readonly object: KubeObject };

export type WatchState = { readonly ok: boolean; readonly error?: string };

export type ReflectorOptions = {
  readonly api: Api;
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Names, labels and annotations only: of Secrets nothing else is wanted. */
  readonly metadataOnly?: boolean;
  readonly changed: (change: Change) => void;
  /** `ok` after each list and whenever a watch is open; else why it is not. For status, logs and metrics. */
  readonly state?: (state: WatchState) => void;
  readonly random?: () => number;
  readonly limits?: Partial<ReflectorLimits>;
};

export type ReflectorLimits = {
  /** Objects; fewer where those are large. */
  readonly pageSize: number;
  /** A page in arrival takes about four times as much memory. A single object may be larger. */
  readonly pageBytesMax: number;
  /** The server ends a watch after 1 to 2 times this. */
  readonly watchMsMin: number;
  /** Bookmarks come about once a minute: silence beyond this is a dead connection. */
  readonly silenceMsMax: number;
  readonly backOffMsMin: number;
  readonly backOffMsMax: number;
};

const defaults: ReflectorLimits = {
  pageSize: 500,
  pageBytesMax: 8 * 1024 * 1024,
  watchMsMin: 300_000,
  silenceMsMax: 150_000,
  backOffMsMin: 500,
  backOffMsMax: 30_000,
};

const metadataList = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const metadataObject = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/** HTTP 410: the resourceVersion or the list's page is too old. */
const gone = 410;

export type Reflector = { stop(): void };

export function reflect(options: ReflectorOptions): Reflector {
  const stop = new AbortController();
  void run(options, stop.signal);
  return { stop: () => stop.abort() };
}

async function run(options: ReflectorOptions, signal: AbortSignal): Promise<void> {
  const limits = { ...defaults, ...options.limits };
  const random = options.random ?? Math.random;
  let version: string | undefined;
  let failures = 0;
  /** Lists in a row from which no watch could go on: an API server that has just started says so once or twice. */
  let relists = 0;
  while (!signal.aborted) {
    try {
      if (version === undefined) {
        version = await list(options, limits, signal);
        // It answers again: what it did before says nothing of how soon to try.
        failures = relists;
        options.state?.({ ok: true });
      }
      const ended = await watch({ options, limits, signal, version, random });
      version = ended.version;
      // A watch that ended in good order is simply resumed; one that was cut, or never brought anything, backs off.
      if (ended.alive) failures = relists = 0;
      if (!ended.inOrder) failures += 1;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.status === gone) {
        version = undefined;
        relists += 1;
        failures = relists; // that was an answer, too
      } else failures += 1;
      options.state?.({ ok: false, error: errorText(error) });
    }
    if (failures > 0) await pause(backOffMs(failures, limits, random), signal);
  }
}

/** Doubles from the least to the most, half of it at random, so that a fleet does not return at once. */
export function backOffMs(
  failures: number,
  limits: Pick<ReflectorLimits, "backOffMsMin" | "backOffMsMax">,
  random: () => number,
): number {
  const whole = Math.min(
    limits.backOffMsMin * 2 ** Math.min(failures - 1, 20),
    limits.backOffMsMax,
  );
  return whole / 2 + (whole / 2) * random();
}

async function list(
  options: ReflectorOptions,
  limits: ReflectorLimits,
  signal: AbortSignal,
): Promise<string> {
  const objects: KubeObject[] = [];
  let next = "";
  let { pageSize } = limits;
  for (;;) {
    const answer = await page(options, { limits, signal, pageSize, next });
    if (answer === undefined) {
      pageSize = Math.max(1, Math.floor(pageSize / 4));
      continue;
    }
    const { status, body } = answer;
    if (status !== 200) throw new ApiError(status, body.message ?? `list answered ${status}`);
    for (const item of itemsOf(body)) objects.push(item);
    next = String(body.metadata?.["continue"] ?? "");
    if (next !== "") continue;
    options.changed({ type: "listed", objects });
    return body.metadata?.resourceVersion ?? "";
  }
}

type Page = {
  readonly limits: ReflectorLimits;
  readonly signal: AbortSignal;
  readonly pageSize: number;
  /** Where the page before ended. */
  readonly next: string;
};

/** Undefined where it is too large: fewer objects are to be asked for. */
async function page(
  { api, path, query, metadataOnly }: ReflectorOptions,
  { limits, signal, pageSize, next }: Page,
): Promise<ApiAnswer | undefined> {
  const isSmallest = pageSize === 1;
  try {
    return await api.request({
      path,
      query: { ...query, limit: pageSize, ...(next !== "" && { continue: next }) },
      signal,
      ...(!isSmallest && { answerBytesMax: limits.pageBytesMax }),
      ...(metadataOnly && { accept: metadataList }),
    });
  } catch (error) {
    if (error instanceof AnswerTooLarge && !isSmallest) return undefined;
    throw error;
  }
}

/** Items of a list carry neither kind nor apiVersion; those of a watch do. */
function itemsOf(body: KubeObject): readonly KubeObject[] {
  const kind = body.kind?.replace(/List$/, "");
  return ((body["items"] ?? []) as KubeObject[]).map((item) => ({
    ...lean(item),
    ...(kind !== undefined && { kind }),
    ...(body.apiVersion !== undefined && { apiVersion: body.apiVersion }),
  }));
}

type Watching = {
  readonly options: ReflectorOptions;
  readonly limits: ReflectorLimits;
  readonly signal: AbortSignal;
  readonly version: string;
  readonly random: () => number;
};

type Ended = {
  /** Where to go on. */
  readonly version: string;
  /** Something came. */
  readonly alive: boolean;
  /** By the server, or after silence that followed something. */
  readonly inOrder: boolean;
};

/** Until the server ends it or nothing comes for too long. Throws ApiError 410 where a relist is due. */
async function watch(watching: Watching): Promise<Ended> {
  const { options, limits, signal, random } = watching;
  let { version } = watching;
  let alive = false;
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), limits.silenceMsMax);
  const timeoutSeconds = Math.round((limits.watchMsMin * (1 + random())) / 1000);
  try {
    const stream = await options.api.stream({
      path: options.path,
      query: {
        ...options.query,
        watch: true,
        allowWatchBookmarks: true,
        resourceVersion: version,
        timeoutSeconds,
      },
      signal: AbortSignal.any([signal, silence.signal]),
      ...(options.metadataOnly && { accept: metadataObject }),
    });
    options.state?.({ ok: true });
    for await (const line of lines(stream)) {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), limits.silenceMsMax);
      const { type, object } = JSON.parse(line) as { type: string; object: KubeObject };
      alive = true;
      if (type === "ERROR")
        throw new ApiError(Number(object["code"] ?? 0), object.message ?? "the watch failed");
      version = object.metadata?.resourceVersion ?? version;
      if (type === "DELETED") options.changed({ type: "deleted", object });
      else if (type !== "BOOKMARK") options.changed({ type: "set", object: lean(object) });
    }
    return { version, alive: true, inOrder: true };
  } catch (error) {
    // Silence is not an error of ours: the watch goes on where it was.
    if (silence.signal.aborted && !signal.aborted) return { version, alive, inOrder: alive };
    if (error instanceof ApiError || signal.aborted) throw error;
    options.state?.({ ok: false, error: errorText(error) });
    return { version, alive, inOrder: false };
  } finally {
    clearTimeout(timer);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done);
  });
}
