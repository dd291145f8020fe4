/**
 * A model as `import` shows it: lines to read, and an object for programs.
 *
 * In: a model, and the kernel of each group of layers. Out: text with the exact calls of normrope/runtime and of Python, and
 * JSON. Pure.
 */
import { counted, quoted } from "../diagnostics.js";
import type { ConfigPoint } from "../ir.js";
import { callsOf, type Made, rampText, rowsText, takes } from "./calls.js";
import type { Model, ModelLayers } from "./model.js";
import type { Rounding } from "./model_type.js";

/** Layers and their kernel, or why the config's op allows none. */
export interface Outcome {
  readonly layers: ModelLayers;
  readonly point: ConfigPoint;
  readonly id: string;
  readonly problem?: string | undefined;
}

/** The model in lines of text. They do not say what was added to the config. */
export function reportLines(model: Model, outcomes: readonly Outcome[]): string[] {
  return [
    `${quoted(model.path)}: ${model.type} (${model.source})`,
    "",
    ...outcomes.flatMap((outcome) => outcomeLines(model, outcome)),
    ...[...model.others].map(([type, count]) => `${layersText(count)} of ${type}: no kernel`),
    "",
    ...roundingLines(model),
    ...model.remarks.map((remark) => `remark    ${remark}`),
  ];
}

function outcomeLines(model: Model, { layers, id, problem }: Outcome): string[] {
  if (problem !== undefined) return [leftOut({ layers, problem })];
  const eps = model.eps ?? "not in the config";
  const rows = rowsText(model, layers);
  return [
    titleOf(layers),
    `  kernel   ${id}`,
    `  heads    ${headsText(model, layers)}`,
    ...(takes(model, layers, "eps") ? [`  eps      ${eps}`] : []),
    ...callsOf(model, layers).flatMap(callLines),
    ...(rows === undefined ? [] : [`  cos_sin  ${rows}`]),
  ];
}

function callLines({ what, call, python, use, parameters }: Made): string[] {
  const ramp = parameters && rampText(parameters);
  return [
    `  ${what}    ${call}${use === undefined ? "" : `  // ${use}`}`,
    `  python   ${python}`,
    ...(ramp === undefined ? [] : [`  ramp     ${ramp}`]),
  ];
}

/** The line for layers that the config's op allows no kernel for. */
export function leftOut({ layers, problem }: Pick<Outcome, "layers" | "problem">): string {
  return `${titleOf(layers)}: not imported, ${problem}`;
}

function titleOf({ count, types }: ModelLayers): string {
  return `${layersText(count)} of ${types.join(" and ")}`;
}

function layersText(count: number | undefined): string {
  return count === undefined ? "layers" : counted(count, "layer");
}

function headsText({ tp }: Model, { heads, headDim, numQHeads, numKvHeads, hasOwnK }: ModelLayers): string {
  const own = hasOwnK ? `${heads.q} q, ${heads.k} k, ${heads.v} v` : `${heads.q} q`;
  const shared = hasOwnK ? "" : "; k and v are an earlier layer's, so leave them out";
  if (tp === 1) return `${own} of ${headDim} elements${shared}`;
  const copies = tp > numKvHeads ? `, each kv head on ${tp / numKvHeads} ranks` : "";
  return `${own} of ${headDim} elements on each of ${tp} ranks, of ${numQHeads} q and ${numKvHeads} kv heads${copies}${shared}`;
}

/** Where a stage rounds, by the values of its axes. DTYPE stands for the kernel's dtype. */
const NORM_TEXTS = {
  once: "",
  before_weight: "rounds to DTYPE before it multiplies by the weight, and again behind it",
  after_weight: "rounds to DTYPE at the end of the norm",
  scale: "rounds the reciprocal root to DTYPE before it multiplies by it",
} as const;

function rotationText({ angles, ropeRounding }: Rounding): string {
  if (ropeRounding === "products") return "rotates with cosine, sine and products in DTYPE";
  if (angles === "cos_sin_f32") return "rotates in float32, and rounds to DTYPE behind it";
  return "rotates in float32 with cosine and sine in DTYPE, and rounds behind it";
}

/** What the model's own code rounds, stage by stage; undefined if no values say it. */
function ownText({ rounding, op, layers }: Model): string | undefined {
  if (typeof rounding !== "object") return undefined;
  const isNormed = layers.some(({ values }) => values.norm !== "none");
  const { normRounding = "once" } = rounding;
  const texts = (op.stages.q ?? []).flatMap(({ name }) => {
    if (name === "norm") return isNormed ? [NORM_TEXTS[normRounding]] : [];
    return [rotationText(rounding)];
  });
  return texts.join(", then ").replaceAll("DTYPE", String(layers[0]?.values.dtype));
}

function roundingText(model: Model): string {
  const own = ownText(model);
  if (own !== undefined) return `the model's own code ${own}: last bits differ`;
  if (model.rounding === undefined) return "it is not known where the model's own code rounds";
  return `the model's own code rounds elsewhere: ${model.rounding}`;
}

function roundingLines(model: Model): string[] {
  if (model.hasOwnRounding) return [`rounding  as the model's own code: it ${ownText(model)}`];
  const like = typeof model.rounding === "object" ? "; --rounding model rounds there too" : "";
  return ["rounding  float32 inside and one rounding, at the end", `          ${roundingText(model)}${like}`];
}

/** The model and what became of its layers, for programs. */
export function reportObject(model: Model, outcomes: readonly Outcome[]) {
  const { path, type, source, tp, op, eps, others, remarks, rounding } = model;
  const sizes = ({ types, count, heads, hasOwnK }: ModelLayers) => ({
    ...{ types, count: count ?? null, heads, hasOwnK },
  });
  const isNormed = outcomes.some(({ layers }) => takes(model, layers, "eps"));
  return {
    model: { path, type, source, tp, op: op.name, eps: isNormed ? (eps ?? null) : null },
    layers: outcomes
      .filter(({ problem }) => problem === undefined)
      .map(({ layers, point, id }) => {
        const made = callsOf(model, layers);
        const tables = made.filter(({ what }) => what === "table");
        const pairs = made.find(({ what }) => what === "pairs");
        return {
          ...{ ...sizes(layers), id, ...point },
          tables: tables.map(({ call, python, use, parameters }) => {
            return { call, python, use: use ?? null, parameters: parameters ?? null };
          }),
          pairAxes:
            pairs === undefined ? null : { call: pairs.call, python: pairs.python, ...layers.rope.pairAxes },
          cosSin: rowsText(model, layers) ?? null,
        };
      }),
    notImported: outcomes
      .filter(({ problem }) => problem !== undefined)
      .map(({ layers, point, problem }) => ({ ...sizes(layers), ...point, reason: problem })),
    withoutKernel: Object.fromEntries(others),
    rounding: model.hasOwnRounding ? `as the model's own code: it ${ownText(model)}` : roundingText(model),
    ownRounding: typeof rounding === "object" ? rounding : null,
    remarks,
  };
}
