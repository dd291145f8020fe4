/**
 * ptxas's report (`-Xptxas -v`) as data.
 *
 * In: the compiler's output. Out: registers, stack and spills of each entry function on each architecture. Pure.
 */
import type { Resources } from "../../dsl/manifest.js";

const ENTRY = /Compiling entry function '([^']+)' for '([^']+)'/;
const FRAME = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/;
const USED = /Used (\d+) registers/;

export function parsePtxasReport(output: string): ReadonlyMap<string, readonly Resources[]> {
  const found = new Map<string, Resources[]>();
  let entry: { name: string; arch: string } | undefined;
  let frame = [0, 0, 0];
  for (const line of output.split("\n")) {
    const [, name, arch] = ENTRY.exec(line) ?? [];
    if (name !== undefined && arch !== undefined) {
      entry = { name, arch };
      frame = [0, 0, 0];
    }
    const bytes = FRAME.exec(line);
    if (bytes !== null) frame = bytes.slice(1).map(Number);
    const registers = USED.exec(line)?.[1];
    if (registers === undefined || entry === undefined) continue;
    const [stackBytes = 0, spillStoreBytes = 0, spillLoadBytes = 0] = frame;
    const resources = {
      arch: entry.arch,
      registers: Number(registers),
      stackBytes,
      spillStoreBytes,
      spillLoadBytes,
    };
    found.set(entry.name, [...(found.get(entry.name) ?? []), resources]);
    entry = undefined;
  }
  return found;
}
