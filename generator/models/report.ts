/**
 * A model as `import` shows it: lines to read, and an object for programs.
 *
 * In: a model, and the kernel of each group of layers. Out: text with the exact calls of normrope/runtime, and JSON. Pure.
 */
import { expressionOf, stageNamed } from "../../dsl/sides.js";
import { counted, quoted } from "../diagnostics.js";
import type { ConfigPoint } from "../ir.js";
import type { Model, ModelLayers } from "./model.js";

/** Layers and their kernel, or why the config's op allows none. */
export interface Outcome {
  readonly layers: ModelLayers;
  readonly point: ConfigPoint;
  readonly id: string;
  readonly problem?: string | undefined;
}

/** One table of some layers, as TypeScript that makes it. */
interface Call {
  readonly call: string;
  /** What the table is for, if the layers have several or do not rotate. */
  readonly use?: string | undefined;
}

/** The model in lines of text. They do not say what was added to the config. */
export function reportLines(model: Model, outcomes: readonly Outcome[]): string[] {
  return [
    `${quoted(model.path)}: ${model.type} (${model.source})`,
    "",
    ...outcomes.flatMap((outcome) => outcomeLines(model, outcome)),
    ...[...model.others].map(([type, count]) => `${layersText(count)} of ${type}: no kernel`),
    "",
    "rounding  float32 inside and one rounding, at the end",
    `          ${roundingText(model)}`,
    ...model.remarks.map((remark) => `remark    ${remark}`),
  ];
}

function outcomeLines(model: Model, { layers, id, problem }: Outcome): string[] {
  if (problem !== undefined) return [leftOut({ layers, problem })];
  const eps = model.eps ?? "not in the config";
  return [
    titleOf(layers),
    `  kernel   ${id}`,
    `  heads    ${headsText(model, layers)}`,
    ...(takesEps(model) ? [`  eps      ${eps}`] : []),
    ...callsOf(layers).map(({ call, use }) => `  table    ${call}${use === undefined ? "" : `  // ${use}`}`),
  ];
}

const takesEps = ({ stages }: Model) =>
  stages.some(({ name }) => stageNamed(name).inputs.some((input) => input.name === "eps"));

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
  const shared = hasOwnK ? "" : "; k and v are an earlier layer's, so leave k out";
  if (tp === 1) return `${own} of ${headDim} elements${shared}`;
  const copies = tp > numKvHeads ? `, each kv head on ${tp / numKvHeads} ranks` : "";
  return `${own} of ${headDim} elements on each of ${tp} ranks, of ${numQHeads} q and ${numKvHeads} kv heads${copies}${shared}`;
}

/** The tables of some layers. Layers that do not rotate get one whose angles are 0. */
export function callsOf({ rope }: ModelLayers): readonly Call[] {
  if (rope.tables.length === 0) {
    const call = `tableOf(new Float64Array(${rope.rotaryDim / 2}), 1)`;
    return [{ call, use: "no RoPE in these layers: every angle is 0, and the norm remains" }];
  }
  return rope.tables.map(({ parameters, use }) => ({ call: `ropeTable(${literal(parameters)})`, use }));
}

/** A value as TypeScript, without undefined fields. */
function literal(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return `{ ${fields.map(([name, field]) => `${name}: ${literal(field)}`).join(", ")} }`;
}

/** What the model's own code rounds, stage by stage. */
function roundingText({ rounding, stages, layers }: Model): string {
  const known: Readonly<Record<string, string | undefined>> = rounding ?? {};
  const texts = stages.map(({ name }) => known[name]);
  if (texts.includes(undefined)) return "it is not known where the model's own code rounds";
  const dtype = String(layers[0]?.values.dtype);
  return `the model's own code ${texts.join(", then ").replaceAll("DTYPE", dtype)}: last bits differ`;
}

/** The model and what became of its layers, for programs. */
export function reportObject(model: Model, outcomes: readonly Outcome[]) {
  const { path, type, source, tp, stages, eps, others, remarks } = model;
  const sizes = ({ types, count, heads, hasOwnK }: ModelLayers) => ({
    ...{ types, count: count ?? null, heads, hasOwnK },
  });
  const head = expressionOf(stages);
  return {
    model: { path, type, source, tp, head, eps: takesEps(model) ? (eps ?? null) : null },
    layers: outcomes
      .filter(({ problem }) => problem === undefined)
      .map(({ layers, point, id }) => ({
        ...{ ...sizes(layers), id, ...point },
        tables: callsOf(layers).map(({ call, use }, i) => ({
          ...{ call, use: use ?? null, parameters: layers.rope.tables[i]?.parameters ?? null },
        })),
      })),
    notImported: outcomes
      .filter(({ problem }) => problem !== undefined)
      .map(({ layers, point, problem }) => ({ ...sizes(layers), ...point, reason: problem })),
    withoutKernel: Object.fromEntries(others),
    rounding: roundingText(model),
    remarks,
  };
}
