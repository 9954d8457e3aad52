/**
 * What processes cost, read from /proc: processor time and memory of one process or of a tree whose
 * children come and go. Linux only. Ticks are 10 ms: measure over seconds.
 */
import { readdirSync, readFileSync } from "node:fs";

const msPerTick = 10;

export type Cost = { readonly cpuMs: number; readonly rssMb: number };

/** Processor time of the process, its threads, its ended children, and all of that for its living children. */
export function treeCost(pid: number): Cost {
  const children = childrenOf();
  let ticks = 0;
  let rssMb = 0;
  const visit = (each: number): void => {
    const stat = fieldsOf(each);
    if (stat === undefined) return;
    // After the name: 11 utime, 12 stime, 13 cutime, 14 cstime (proc(5), counted from field 3).
    ticks += stat.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    rssMb += pssMb(each);
    for (const child of children.get(each) ?? []) visit(child);
  };
  visit(pid);
  return { cpuMs: ticks * msPerTick, rssMb };
}

/** Memory of one process that is its own, in MB: without pages of files, which the system takes back as it likes. */
export function ownMemoryMb(pid: number): number {
  const found = /^Pss_Anon:\s+(\d+) kB/m.exec(readProc(pid, "smaps_rollup"));
  return Number(found?.[1] ?? 0) / 1024;
}

/** Empty where the process is gone. */
function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return "";
  }
}

/** The kernel goes over all of a process's pages for it, and holds up the process meanwhile. */
const sampleEveryMs = 1000;

/** Samples a number of MB until stopped; the answer is the most that was seen. */
export function watchMemory(sample: () => number): { stop(): number } {
  let most = 0;
  const look = (): void => {
    most = Math.max(most, sample());
  };
  look();
  const timer = setInterval(look, sampleEveryMs);
  return {
    stop() {
      clearInterval(timer);
      look();
      return Math.round(most);
    },
  };
}

function childrenOf(): Map<number, number[]> {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const parent = Number(fieldsOf(Number(name))?.[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  return children;
}

/** The fields after the process's name, which may hold spaces. */
function fieldsOf(pid: number): string[] | undefined {
  const stat = readProc(pid, "stat");
  return stat === "" ? undefined : stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** Memory with what is shared divided among its sharers. */
function pssMb(pid: number): number {
  const found = /^Pss:\s+(\d+) kB/m.exec(readProc(pid, "smaps_rollup"));
  return Number(found?.[1] ?? 0) / 1024;
}
