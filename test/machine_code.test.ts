/**
 * The machine code of the default kernels, for sm_90: what changes it is seen here, and its commit says why.
 * `npx vitest run test/machine_code.test.ts --update` records the code of now.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import pMap from "p-map";
import { expect, it } from "vitest";
import { parsePtxasReport } from "../generator/build/ptxas.js";
import { runCompiler, writeInputs } from "../generator/build/run_compiler.js";
import { emit } from "../generator/pipeline.js";
import { needed, nvcc } from "./fixture.js";
import { compileText, RECORDED_SPACE, RECORDED_RELEASE as RELEASE, temporaryFolder } from "./helpers.js";

const isThatNvcc = nvcc?.version.includes(RELEASE) ?? false;

/** Sections of a 64-bit little-endian ELF file, by name. */
function sectionsOf(elf: Buffer): Map<string, Buffer> {
  const table = Number(elf.readBigUInt64LE(0x28));
  const [entryBytes, count, namesIndex] = [0x3a, 0x3c, 0x3e].map((at) => elf.readUInt16LE(at));
  const contentOf = (index: number) => {
    const header = table + index * (entryBytes ?? 0);
    const [start, size] = [0x18, 0x20].map((at) => Number(elf.readBigUInt64LE(header + at)));
    return elf.subarray(start, (start ?? 0) + (size ?? 0));
  };
  const names = contentOf(namesIndex ?? 0);
  return new Map(
    Array.from({ length: count ?? 0 }, (_, index) => {
      const at = elf.readUInt32LE(table + index * (entryBytes ?? 0));
      return [names.toString("latin1", at, names.indexOf(0, at)), contentOf(index)];
    }),
  );
}

it.skipIf(!isThatNvcc)(`of the default kernels is what it was (needs nvcc ${RELEASE})`, async () => {
  const folder = temporaryFolder();
  const files = emit(compileText(RECORDED_SPACE)).filter(({ path }) => /\.(cu|cuh|hpp|h)$/.test(path));
  writeInputs(folder, files);
  const sources = files.map(({ path }) => path).filter((path) => path.endsWith(".cu"));
  const lines = await pMap(
    sources,
    async (source) => {
      const cubin = `${basename(source)}bin`;
      const args = ["-std=c++17", "-O3", "-arch=sm_90", "-cubin", "-Xptxas=-v", "-Icommon", "-Iinclude"];
      const { path } = needed(nvcc);
      const run = { path, args: [...args, source, "-o", cubin], cwd: folder, name: cubin };
      const resources = parsePtxasReport(await runCompiler(run));
      return [...sectionsOf(readFileSync(join(folder, cubin)))].flatMap(([name, code]) => {
        const symbol = /^\.text\.(.*)$/.exec(name)?.[1];
        if (symbol === undefined) return [];
        const hash = createHash("sha256").update(code).digest("hex").slice(0, 16);
        const registers = resources.get(symbol)?.[0]?.registers;
        return [`${symbol}  ${registers} registers  ${code.length} bytes  ${hash}`];
      });
    },
    { concurrency: 2 },
  );
  const text = `nvcc ${RELEASE}, sm_90\n${lines.flat().sort().join("\n")}\n`;
  await expect(text).toMatchFileSnapshot("machine_code.txt");
});
