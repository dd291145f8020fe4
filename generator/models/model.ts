/**
 * A model's config.json → the kernels that its layers need, or the reasons why there are none.
 *
 * In: the path of a config, and what the command line adds. Out: a model: the stages of its heads, and groups of layers with
 * the values of their axes, the heads of one rank and their tables; or errors that ask for what is not known. Must not guess
 * or write a file.
 */
import { completed, type Values } from "../../dsl/points.js";
import { openAxes, type StageCall } from "../../dsl/sides.js";
import { quoted, userError } from "../diagnostics.js";
import { readModelConfig } from "./config_file.js";
import { defaultsTaken, dtypeOf, readTextModel, type TextModel } from "./fields.js";
import { headOf, type ModelFlags } from "./head.js";
import { type LayerGroup, layersOf } from "./layers.js";
import type { ModelType } from "./model_type.js";
import { modelType } from "./model_types.js";

/** Layers that use one kernel. */
export interface ModelLayers extends LayerGroup {
  /** The values of the axes of the model's stages. */
  readonly values: Values;
  /** The heads of one rank. */
  readonly heads: { readonly q: number; readonly k: number; readonly v: number };
}

export interface Model {
  readonly path: string;
  readonly type: string;
  readonly outerType: string | undefined;
  /** The source of the facts about the model. */
  readonly source: string;
  readonly tp: number;
  /** The stages of each head of q and k, the innermost first. */
  readonly stages: readonly StageCall[];
  /** Undefined if the config does not give it. */
  readonly eps: number | undefined;
  readonly rounding: ModelType["rounding"];
  readonly layers: readonly ModelLayers[];
  /** The number of layers that need no kernel, by type. */
  readonly others: ReadonlyMap<string, number>;
  readonly remarks: readonly string[];
}

/**
 * @throws UserError `model-config-unreadable`, `bad-model-config`, `unsupported-model`, `unknown-model-type`,
 *   `missing-model-fact`, `bad-option`.
 */
export function readModel(path: string, flags: ModelFlags): Model {
  const config = readModelConfig(path);
  const row = config.type === undefined ? undefined : modelType(config.type, config.classes);
  const { stages, values } = headOf(config, row, flags);
  const model = readTextModel(config, row, { stages, values });
  const dtype = dtypeOf(config, flags.dtype);
  const { groups, others } = layersOf(model, flags);
  if (groups.length === 0) {
    const message = `${quoted(path)}: no layer norms or rotates q and k`;
    throw userError("unsupported-model", message, "the model needs no kernel");
  }
  return {
    path,
    type: config.type ?? "a model without model_type",
    outerType: config.outerType,
    source: row?.source ?? "the command line",
    tp: flags.tp,
    stages,
    eps: model.text.rms_norm_eps ?? undefined,
    rounding: row?.rounding,
    layers: groups.map((group) => ({
      ...group,
      values: completed(openAxes({ q: stages }), {
        ...{ ...values, headDim: group.headDim, rotaryDim: group.rope.rotaryDim, dtype },
      }),
      heads: headsOfRank(group, flags.tp),
    })),
    others,
    remarks: [...remarksOf(model, groups), ...new Set(groups.flatMap(({ rope }) => rope.remarks))],
  };
}

/** Fields that change the attention of some models. How they change an unknown model is not known. */
const UNREAD = ["rope_local_base_freq", "no_rope_layer_interval", "num_kv_shared_layers"];

function unread({ row, fields }: TextModel, groups: readonly LayerGroup[]): string[] {
  if (row !== undefined) return [];
  const isMixed = groups.some(({ types }) => types.length > 1);
  const names = [...UNREAD.filter((name) => fields[name] != null), ...(isMixed ? ["layer_types"] : [])];
  if (names.length === 0) return [];
  return [`not read, because the model type is not known: ${names.join(", ")}; layers may differ in them`];
}

function remarksOf(model: TextModel, groups: readonly LayerGroup[]): string[] {
  const { row, type, outerType, prefix, path, extra } = model;
  return [
    ...(outerType === undefined
      ? []
      : [`the model is ${prefix.slice(0, -1)} of ${quoted(path)}: ${type}, a part of ${outerType}`]),
    ...defaultsTaken(model),
    ...unread(model, groups),
    ...(row?.remarks ?? []).flatMap((remark) => {
      if (typeof remark === "string") return remark;
      return extra(remark.where) === true ? remark.text : [];
    }),
  ];
}

/** q heads are split over the ranks. So are kv heads; if there are fewer of them than ranks, ranks share one. */
function headsOfRank({ numQHeads, numKvHeads, hasOwnK }: LayerGroup, tp: number): ModelLayers["heads"] {
  const isSplit = numQHeads % tp === 0 && (numKvHeads % tp === 0 || tp % numKvHeads === 0);
  if (!isSplit) {
    const message = `--tp ${tp} does not divide ${numQHeads} q and ${numKvHeads} kv heads`;
    const fix = "write a number that divides the q heads, and divides or is a multiple of the kv heads";
    throw userError("bad-option", message, fix);
  }
  const kv = hasOwnK ? Math.max(1, numKvHeads / tp) : 0;
  return { q: numQHeads / tp, k: kv, v: kv };
}
