/**
 * Runs programs in a process group, so that no child of theirs outlives the run.
 *
 * In: a child that was started `detached`. Out: its output, within bounds. Starts nothing itself.
 */
import type { ChildProcess } from "node:child_process";
import type { Readable } from "node:stream";
import { onExit } from "signal-exit";

/** Bytes of output kept from either end. ptxas reports about 1 KB for each kernel and architecture. */
const KEPT_BYTES = 128 * 1024;

export interface GroupGuard {
  readonly timedOut: () => boolean;
  /** Call this when the program has ended. */
  readonly release: () => void;
}

/**
 * Kills the rest of the group when the program ends, times out, or this process ends. The group survives only a SIGKILL of
 * this process.
 */
export function guardGroup(
  leader: Pick<ChildProcess, "pid" | "once">,
  output: Readable,
  timeoutSeconds: number,
): GroupGuard {
  const stop = () => killGroup(leader.pid);
  const forget = onExit(stop);
  leader.once("exit", stop);
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    stop();
    output.destroy(); // a child that left the group may hold it open
  }, timeoutSeconds * 1000);
  return {
    timedOut: () => timedOut,
    release: () => {
      clearTimeout(timer);
      forget();
    },
  };
}

function killGroup(leader: number | undefined): void {
  try {
    if (leader !== undefined) process.kill(-leader, "SIGKILL");
  } catch {
    // the group is empty
  }
}

/** The text of a stream. A long one is cut at lines in its middle as it comes, so memory stays bounded. */
export async function bothEnds(stream: AsyncIterable<Buffer>): Promise<string> {
  let [head, tail, total] = [Buffer.alloc(0), Buffer.alloc(0), 0];
  try {
    for await (const chunk of stream) {
      total += chunk.length;
      const room = KEPT_BYTES - head.length;
      if (room > 0) head = Buffer.concat([head, chunk.subarray(0, room)]);
      tail = Buffer.concat([tail, chunk.subarray(room)]).subarray(-KEPT_BYTES);
    }
  } catch {
    // the stream was cut off: keep what came
  }
  if (total > head.length + tail.length) {
    head = head.subarray(0, head.lastIndexOf("\n") + 1 || undefined);
    tail = tail.subarray(tail.indexOf("\n") + 1);
  }
  const left = total - head.length - tail.length;
  const between = left === 0 ? "" : `\n[... ${left} bytes are left out here ...]\n`;
  return `${head.toString("utf8")}${between}${tail.toString("utf8")}`.replace(/\r?\n$/, "");
}
