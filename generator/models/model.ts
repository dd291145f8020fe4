/**
 * A model's config.json → the kernels that its layers need, or the reasons why there are none.
 *
 * In: the path of a config, and what the command line adds. Out: a model: the op of its heads, and groups of layers with
 * the values of its axes, the heads of one rank and their tables; or errors that ask for what is not known. Must not guess
 * or write a file.
 */
import { completed } from "../../dsl/points.js";
import { quoted, userError } from "../diagnostics.js";
import type { Op } from "../ir.js";
import { isObject, readModelConfig } from "./config_file.js";
import { defaultsTaken, dtypeOf, readTextModel, type TextModel } from "./fields.js";
import { headOf, type ModelFlags } from "./head.js";
import { type LayerGroup, layersOf } from "./layers.js";
import type { ModelType } from "./model_type.js";
import { modelType } from "./model_types.js";

/** Layers that use one kernel. */
export interface ModelLayers extends LayerGroup {
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
  /** The op that does what the model does. */
  readonly op: Op;
  /** Undefined if the config does not give it. */
  readonly eps: number | undefined;
  /** Where the model's own code rounds, or why no values are like it. Undefined if it is not known. */
  readonly rounding: ModelType["rounding"];
  /** Whether the kernels round there too. */
  readonly hasOwnRounding: boolean;
  /** The model rotates by the negative angle. */
  readonly isBackwards: boolean;
  /** How rows of cosine and sine are made, for models without a table. */
  readonly rows: string | undefined;
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
  const head = headOf(config, row, flags);
  const { op } = head;
  const model = readTextModel(config, row, head);
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
    op,
    eps: model.text.rms_norm_eps ?? undefined,
    rounding: row?.rounding,
    hasOwnRounding: flags.ownRounding === true,
    isBackwards: row?.backwards === true,
    rows: row?.rows,
    layers: groups.map((group) => ({
      ...group,
      values: completed(op.axes, { ...group.values, dtype }),
      heads: headsOfRank(group, flags.tp),
    })),
    others,
    remarks: [
      ...remarksOf(model, groups),
      ...new Set(groups.flatMap(({ rope }) => rope.remarks)),
      ...(flags.textOnly ? [] : seeing(model)),
    ],
  };
}

/** Fields that change the attention of some models. How they change an unknown model is not known. */
const UNREAD = ["rope_local_base_freq", "no_rope_layer_interval", "num_kv_shared_layers"];
/** Fields of layers that differ, which no known model's row reads, and lists that some rows read. */
const NEVER_READ = [
  ...["hybrid_layer_pattern", "attention_other_setting", "swa_head_dim", "swa_num_attention_heads"],
  ...["swa_num_key_value_heads", "swa_rope_theta", "swa_v_head_dim"],
];
const LISTS = ["num_attention_heads_per_layer", "num_key_value_heads_per_layer"];

function unread({ row, fields }: TextModel, groups: readonly LayerGroup[]): string[] {
  const read: readonly unknown[] = Object.values(row?.layers?.perLayer ?? {});
  const left = [...NEVER_READ, ...LISTS].filter((name) => fields[name] != null && !read.includes(name));
  if (row !== undefined)
    return left.length === 0 ? [] : [`not read: ${left.join(", ")}; layers may differ in them`];
  const isMixed = groups.some(({ types }) => types.length > 1);
  const names = [
    ...UNREAD.filter((name) => fields[name] != null),
    ...left,
    ...(isMixed ? ["layer_types"] : []),
  ];
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

/** A remark on several rows of positions, and on the part of the model that sees. */
function seeing({ head, outer }: TextModel): string[] {
  const rows = Number(head.values.positionAxes ?? 1);
  const vision = isObject(outer.vision_config) ? outer.vision_config : undefined;
  const type = typeof vision?.model_type === "string" ? ` (${vision.model_type})` : "";
  return [
    ...(rows === 1
      ? []
      : [`positions are [${rows}, num_tokens]; for text alone all rows are equal: --text-only has one row`]),
    ...(vision === undefined
      ? []
      : [`vision_config${type} is not imported: if its type is known, import it as a file of its own`]),
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
