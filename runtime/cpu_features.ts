/**
 * The features of this CPU.
 *
 * In: /proc/cpuinfo. Out: feature names in its spelling. A library built for a feature must not be opened on a CPU that lacks
 * it: the first such instruction would kill the process.
 */
import { readFileSync } from "node:fs";

/** Features that the CPU target can be compiled for, with the flag of g++ and clang++. */
export const COMPILER_FLAGS: Readonly<Record<string, string>> = {
  avx2: "-mavx2",
  fma: "-mfma",
  f16c: "-mf16c",
  bmi1: "-mbmi",
  bmi2: "-mbmi2",
  avx512f: "-mavx512f",
  avx512bw: "-mavx512bw",
  avx512cd: "-mavx512cd",
  avx512dq: "-mavx512dq",
  avx512vl: "-mavx512vl",
};

/** The features of COMPILER_FLAGS that this CPU has; none if it is not x86-64. */
export function cpuFeatures(cpuinfo = readFileSync("/proc/cpuinfo", "utf8")): string[] {
  const flags = new Set(/^flags\s*:(.*)$/m.exec(cpuinfo)?.[1]?.trim().split(/\s+/) ?? []);
  return Object.keys(COMPILER_FLAGS).filter((feature) => flags.has(feature));
}
