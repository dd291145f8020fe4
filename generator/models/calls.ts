/**
 * What a call of a model's kernel is given: tables, the axes of pairs, and rows of cosine and sine.
 *
 * In: a model and a group of its layers. Out: exact text for normrope/runtime and for Python. Pure.
 */
import { kernelInputs, stagesAt } from "../../dsl/sides.js";
import type { PairAxesOptions } from "../../runtime/pair_axes.js";
import type { RopeScaling } from "../../runtime/rope_scalings.js";
import { type RopeParameters, ropeTable } from "../../runtime/rope_table.js";
import type { Model, ModelLayers } from "./model.js";

/** Something to make for a call. */
export interface Made {
  readonly what: "table" | "pairs";
  /** TypeScript and Python that make it. */
  readonly call: string;
  readonly python: string;
  /** What it is for, if layers have several. */
  readonly use?: string | undefined;
  readonly parameters?: RopeParameters | undefined;
}

/** Whether the layers' kernel takes an input. */
export function takes({ op }: Model, { values }: ModelLayers, input: string): boolean {
  return kernelInputs(stagesAt(op.stages, values), values).inputs.includes(input);
}

/** The tables of some layers, and the axes of their pairs. */
export function callsOf(model: Model, layers: ModelLayers): readonly Made[] {
  const { rope } = layers;
  const tables = takes(model, layers, "rope_table") ? rope.tables : [];
  return [
    ...tables.map(({ parameters, use }): Made => {
      return { what: "table", ...tableTexts(parameters, model.isBackwards), use, parameters };
    }),
    ...(rope.pairAxes === undefined ? [] : [pairsOf(rope.pairAxes)]),
  ];
}

function tableTexts(parameters: RopeParameters, isBackwards: boolean) {
  const call = `ropeTable(${typescript(parameters)})`;
  const { base, rotaryDim, scaling } = parameters;
  const scaled = scaling == null ? "" : `, scaling=${python(hfNames(scaling))}`;
  const table = `RopeTable(base=${base}, rotary_dim=${rotaryDim}${scaled})`;
  if (!isBackwards) return { call, python: table };
  // A turn less the angle of a step is the negative angle.
  const { attentionFactor } = ropeTable(parameters);
  return {
    call: `tableOf(${call}.invFreq.map((w) => 2 * Math.PI - w), ${attentionFactor})`,
    python: `RopeTable.from_inv_freq([2 * math.pi - w for w in ${table}.inv_freq], ${attentionFactor})`,
  };
}

function pairsOf(options: PairAxesOptions): Made {
  const { sections, layout } = options;
  const axes = `pair_axes([${sections.join(", ")}]${layout === undefined ? "" : `, "${layout}"`})`;
  const call = `pairAxes(${typescript(options)})`;
  return { what: "pairs", call, python: `torch.tensor(${axes}, dtype=torch.uint8)` };
}

/** Words on the rows of cosine and sine that a call gives; undefined if the kernel takes none. */
export function rowsText(model: Model, layers: ModelLayers): string | undefined {
  if (!takes(model, layers, "cos_sin")) return undefined;
  const { angles, dtype } = layers.values;
  const { rotaryDim, tables } = layers.rope;
  const type = angles === "cos_sin_f32" ? "float32" : dtype;
  if (model.rows !== undefined) return `[num_tokens, ${rotaryDim}] of ${type}, by token: ${model.rows}`;
  const calls = tables.map(
    ({ parameters, use }) => `ropeTable(${typescript(parameters)})${use === undefined ? "" : ` (${use})`}`,
  );
  const sign = model.isBackwards ? ", with sines of the other sign" : "";
  return `[positions, ${rotaryDim}] of ${type}, rows [cos | sin] of the model's own code, which multiplies position and invFreq in float32${sign}; invFreq of ${calls.join(", or ")}`;
}

/** YaRN's ramp, as kernels that take its numbers instead of a table have it. */
export function rampText({ base, rotaryDim, scaling }: RopeParameters): string | undefined {
  if (scaling?.type !== "yarn") return undefined;
  const { factor, originalMaxPositionEmbeddings: length, betaFast = 32, betaSlow = 1 } = scaling;
  const index = (turns: number) =>
    (rotaryDim * Math.log(length / (2 * Math.PI * turns))) / (2 * Math.log(base));
  const isWhole = scaling.truncate !== false;
  const low = Math.max(isWhole ? Math.floor(index(betaFast)) : index(betaFast), 0);
  const high = Math.min(isWhole ? Math.ceil(index(betaSlow)) : index(betaSlow), rotaryDim - 1);
  const { attentionFactor } = ropeTable({ base, rotaryDim, scaling });
  return `factor ${factor}, low ${low}, high ${high}, attention factor ${attentionFactor}`;
}

/** A value as TypeScript, without undefined fields. */
function typescript(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(typescript).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return `{ ${fields.map(([name, field]) => `${name}: ${typescript(field)}`).join(", ")} }`;
}

/** The same as Python. */
function python(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return `{${fields.map(([name, field]) => `"${name}": ${python(field)}`).join(", ")}}`;
}

/** A scaling with the names that configs of Hugging Face and Python have. */
const hfNames = ({ type, ...parameters }: RopeScaling) => ({
  rope_type: type,
  ...Object.fromEntries(
    Object.entries(parameters).map(([name, value]) => [
      name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      value,
    ]),
  ),
});
