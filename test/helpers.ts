/** What several test files share: temporary folders, configs on disk, the points of the repository's own configs. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import { type Diagnostic, UserError } from "../generator/diagnostics.js";
import type { ConfigPoint } from "../generator/ir.js";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { type Compilation, compile } from "../generator/pipeline.js";

/** The configs that the emitted text is examined over. */
const CONFIG_NAMES = [
  "normrope.config.ts",
  ...["geometries", "sentences", "layers", "kv_cache"].map((name) => `test/${name}.config.ts`),
];
export const CONFIG_FILES = CONFIG_NAMES.map((path) => join(PACKAGE_ROOT, path));

/** The values of the axes that have a default, in the shipped op's points that rotate. */
export const DEFAULTS = {
  norm: "rms",
  weight: "plain",
  weightDtype: "same",
  normRounding: "once",
  rotaryAt: "leading",
  angles: "table",
  positionAxes: 1,
  ropeRounding: "once",
  value: "none",
  cache: "none",
  out: "same",
} as const;

/** `npm run test:long`: more cases, and others each time. Otherwise few, the same each time, so that no run depends on luck. */
export const IS_LONG = process.env.NORMROPE_LONG === "1";
/** Of everything random; `NORMROPE_SEED` repeats a run. */
export const SEED = Number(process.env.NORMROPE_SEED ?? (IS_LONG ? Date.now() % 1_000_000_000 : 20_261_123));

/** A new folder that is removed when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "normrope-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Transfers an array's memory away, as posting it to a worker does. */
export function giveAway(array: Uint16Array): void {
  const { buffer } = array;
  if (buffer instanceof ArrayBuffer) structuredClone(buffer, { transfer: [buffer] });
}

/** Files by their path below a folder. */
export type Texts = Readonly<Record<string, string>>;

export function writeFiles(folder: string, texts: Texts): void {
  for (const [path, text] of Object.entries(texts)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

/** Writes a config, and the files that it imports, into a new folder. */
export function writeConfig(text: string, imported: Texts = {}): string {
  const folder = temporaryFolder();
  writeFiles(folder, { "normrope.config.ts": text, ...imported });
  return join(folder, "normrope.config.ts");
}

export function compileText(text: string, imported: Texts = {}): Compilation {
  return compile(writeConfig(text, imported));
}

export function pointsOf(text: string, imported: Texts = {}): ConfigPoint[] {
  return compileText(text, imported).plans.map(({ point }) => point);
}

/** The diagnostics that a call throws; none where it succeeds. */
export function diagnosticsOf(run: () => unknown): readonly Diagnostic[] {
  try {
    run();
  } catch (error) {
    if (error instanceof UserError) return error.diagnostics;
    throw error;
  }
  return [];
}

export interface Place {
  readonly line: number;
  readonly column: number;
}

/** A text without its `▸` marks, and the places that they marked. */
export function readMarks(marked: string): { text: string; places: Place[] } {
  const [first = "", ...rest] = marked.split("▸");
  let text = first;
  const places: Place[] = [];
  for (const part of rest) {
    const lines = text.split("\n");
    places.push({ line: lines.length, column: (lines.at(-1) ?? "").length + 1 });
    text += part;
  }
  return { text, places };
}

/** A config over the shipped op, from the text of its entries. */
export const spaceOf = (entries: string) =>
  `import { defineSpace, qkNormRope } from "normrope/dsl";\nexport default defineSpace(qkNormRope, ${entries});\n`;

/** The kernels whose bits and machine code are recorded: those of the default config, whatever is added to that. */
export const RECORDED_SPACE = spaceOf(
  '{ headDim: [64, 128, 256], rope: ["neox", "interleaved"], dtype: ["bf16"] }',
);

/** By which nvcc: ptxas of another release makes other code of the same kernel. */
export const RECORDED_RELEASE = "V13.0.88";

const OP_PARTS = {
  name: '"my_op"',
  headDim: "multipleOf(8, { min: 16, max: 1024 })",
  rotaryDim: "multipleOf(2, { min: 2, max: 1024 })",
  rope: 'oneOf("neox", "interleaved")',
  dtype: 'oneOf("bf16", "f16")',
  head: "(x) => rotate(norm(x))",
  entry: '{ headDim: [64], rope: ["neox"], dtype: ["bf16"] }',
};

/** A config with an op of its own, from the parts that differ from the shipped op. */
export function opConfig(changed: Partial<typeof OP_PARTS> = {}): string {
  const { name, headDim, rotaryDim, rope, dtype, head, entry } = { ...OP_PARTS, ...changed };
  return `import { defineOp, defineSpace, multipleOf, oneOf, norm, rotate } from "normrope/dsl";
const myOp = defineOp({
  name: ${name},
  ranges: { headDim: ${headDim}, rotaryDim: ${rotaryDim}, rope: ${rope}, dtype: ${dtype} },
  head: ${head},
});
export default defineSpace(myOp, ${entry});
`;
}
