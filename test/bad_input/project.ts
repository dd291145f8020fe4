/** Projects for bad input to be tried on: a config, and beside it what earlier commands left. */
import { join } from "node:path";
import { expect } from "vitest";
import { emitProject } from "../../generator/commands/project.js";
import type { Diagnostic, DiagnosticCode } from "../../generator/diagnostics.js";
import { collectingIo, neoxSpace } from "../cli_helpers.js";
import { readMarks, type Texts, temporaryFolder, writeFiles } from "../helpers.js";
import { diagnosticsLeaving, filesIn } from "./unchanged.js";

/** What stands in generated/ and build/: of no use to any command, and to be left alone by all that fail. */
export const LEFTOVERS: Texts = {
  "generated/manifest.json": "{}\n",
  "generated/cuda/qk_norm_rope__bf16_d1024_r2_neox.cu": "// of an earlier config\n",
  "build/cpu/libnormrope.so": "of an earlier build\n",
  "build/cpu/manifest.json": "{}\n",
};

export interface Project {
  readonly folder: string;
  readonly config: string;
}

export function project(config: string = neoxSpace(16), files: Texts = {}): Project {
  const folder = temporaryFolder();
  writeFiles(folder, { ...LEFTOVERS, "normrope.config.ts": config, ...files });
  return { folder, config: join(folder, "normrope.config.ts") };
}

/** What `emit` complains of in a config, after the proof that it wrote nothing. */
export function diagnosticsOfEmit({ folder, config }: Project): Promise<readonly Diagnostic[]> {
  return diagnosticsLeaving(filesIn(folder), () => emitProject(config, collectingIo().io));
}

/** A mistake in a config, where a `▸` marks its place: the code, and what message and fix must hold. */
export type ConfigCase = readonly [
  what: string,
  code: DiagnosticCode,
  config: string,
  shows: string,
  fix?: string,
];

export async function expectConfigRefused([, code, config, shows, fix = ""]: ConfigCase): Promise<void> {
  const { text, places } = readMarks(config);
  const made = project(text);
  const found = await diagnosticsOfEmit(made);
  expect(found).toMatchObject([{ code, span: { file: made.config, ...places[0] } }]);
  expect(found[0]?.message).toContain(shows);
  expect(found[0]?.fix).toContain(fix);
}
