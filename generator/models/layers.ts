/**
 * A text model's layers, in groups whose attention is alike.
 *
 * In: the checked fields, and the row of the model's type. Out: for each group the heads of all ranks together, RoPE, and
 * whether the layers have a k of their own. Pure.
 */
import type { Values } from "../../dsl/points.js";
import { quoted, show, userError } from "../diagnostics.js";
import { badField } from "./config_file.js";
import type { TextModel } from "./fields.js";
import { type ModelFlags, meaningful } from "./head.js";
import { type LayerRope, ropeOf } from "./rope.js";

/** Layers with the same attention. */
export interface LayerGroup {
  /** `full_attention` and the like, as configs name them. */
  readonly types: readonly string[];
  /** Undefined if the config does not give it. */
  readonly count: number | undefined;
  readonly headDim: number;
  readonly numQHeads: number;
  readonly numKvHeads: number;
  /** False if k and v are an earlier layer's. */
  readonly hasOwnK: boolean;
  readonly rope: LayerRope;
  /** The values of the axes, but for the dtype. */
  readonly values: Values;
}

export interface Layers {
  readonly groups: readonly LayerGroup[];
  /** Types of layers that need no kernel, and the number of layers of each. */
  readonly others: ReadonlyMap<string, number>;
}

const ATTENTION_TYPES = [
  ...["full_attention", "sliding_attention", "chunked_attention", "minimax_m3_sparse", "indexed_attention"],
  ...["compressed_sparse_attention", "heavily_compressed_attention"],
];
const OTHER_TYPES = ["linear_attention", "conv", "mamba", "mamba2", "recurrent", "moe", "mlp"];

/** One layer, before equal layers are grouped. */
interface Layer {
  readonly index: number;
  readonly type: string;
  readonly rotates: boolean;
  readonly hasOwnK: boolean;
}

/** @throws UserError `bad-model-config`, `missing-model-fact`, `bad-option`. */
export function layersOf(model: TextModel, flags: ModelFlags): Layers {
  const others = new Map<string, number>();
  const groups = new Map<string, LayerGroup>();
  for (const layer of eachLayer(model)) {
    const other = ATTENTION_TYPES.includes(layer.type) ? undoneType(model, layer) : layer.type;
    if (other !== undefined) {
      others.set(other, (others.get(other) ?? 0) + 1);
      continue;
    }
    const group = groupOf(model, layer, flags);
    const { types: _, ...attention } = group;
    const key = JSON.stringify(attention);
    const { types, count = 0 } = groups.get(key) ?? { types: [] };
    groups.set(key, { ...group, types: [...new Set([...types, layer.type])], count: count + 1 });
  }
  const isCounted = model.text.num_hidden_layers != null && !model.row?.layers?.uncounted;
  return {
    groups: [...groups.values()].map((group) => (isCounted ? group : { ...group, count: undefined })),
    others,
  };
}

/** The name of a layer that does nothing to q and k; undefined for other layers. */
function undoneType({ row, head }: TextModel, { type, rotates }: Layer): string | undefined {
  const isBare = row?.layers?.noRopeNoNorm || head.values.norm === "none";
  return !rotates && isBare ? `${type} without RoPE` : undefined;
}

function eachLayer(model: TextModel): Layer[] {
  const { text, row, extra } = model;
  const rule = row?.layers ?? {};
  const types = layerTypes(model);
  const shared = rule.sharedKv === undefined ? 0 : Number(extra(rule.sharedKv) ?? 0);
  if (!Number.isInteger(shared) || shared < 0 || (shared > 0 && shared >= types.length)) {
    const field = rule.sharedKv ?? "";
    throw badField(model, field, extra(field), "fewer than there are layers");
  }
  const gate = rule.fullHasNoRope?.unlessNull;
  const fullRotates = rule.fullHasNoRope === undefined || (gate !== undefined && extra(gate) === null);
  const listed = text.no_rope_layers ?? [];
  if (listed.length > 0 && listed.length !== types.length) {
    const want = `a list of ${types.length}, as many as there are layers`;
    throw badField(model, "no_rope_layers", listed, want);
  }
  const every =
    rule.noRopeEvery === undefined || listed.length > 0 ? undefined : period(model, rule.noRopeEvery);
  return types.map((type, i) => ({
    ...{ index: i, type },
    rotates:
      (type !== "full_attention" || fullRotates) &&
      (every === undefined ? listed[i] !== 0 : (i + 1) % every !== 0),
    hasOwnK: i < types.length - shared,
  }));
}

/** The type of each layer. If the config gives no number of layers and all are equal, one stands for all. */
function layerTypes(model: TextModel): readonly string[] {
  const { path, prefix, text, row } = model;
  const rule = row?.layers ?? {};
  const { layer_types: said, num_hidden_layers: count } = text;
  if (said != null && count != null && said.length !== count) {
    const want = `a list of ${count}, as num_hidden_layers says`;
    throw badField(model, "layer_types", said, want);
  }
  const { fullEvery, fullListed, lastIsFull, noRopeEvery, sharedKv, coded } = rule;
  const listed = text.no_rope_layers ?? undefined;
  const differ = [fullEvery, fullListed, lastIsFull, noRopeEvery, sharedKv, coded, listed];
  if (said == null && count == null && differ.some((reason) => reason !== undefined)) {
    const want = "a whole number, because the layers differ";
    throw badField(model, "num_hidden_layers", undefined, want);
  }
  const types = (said ?? derivedTypes(model, count ?? 1)).map((type) => rule.readAs?.[type] ?? type);
  if (types.length === 0) throw badField(model, "layer_types", types, "a list with the type of each layer");
  if (rule.lastIsFull) types[types.length - 1] = "full_attention";
  const unknown = types.find((type) => !ATTENTION_TYPES.includes(type) && !OTHER_TYPES.includes(type));
  if (unknown === undefined) return types;
  const message = `${quoted(path)}: ${prefix}layer_types holds ${show(unknown)}, which is not known`;
  const fix = `known are ${[...ATTENTION_TYPES, ...OTHER_TYPES].join(", ")}`;
  throw userError("bad-model-config", message, fix);
}

function derivedTypes(model: TextModel, count: number): string[] {
  const { row, extra } = model;
  const rule = row?.layers ?? {};
  const { fullEvery, firstIsFull, fullListed, fullHasNoRope, coded, others = "sliding_attention" } = rule;
  const all = Array.from({ length: count }, (_, i) => i);
  if (fullListed !== undefined) {
    const listed = extra(fullListed) ?? all;
    if (!Array.isArray(listed) || !listed.every((layer) => all.includes(layer)))
      throw badField(model, fullListed, listed, `a list of layers, from 0 to ${count - 1}`);
    return all.map((i) => (listed.includes(i) ? "full_attention" : others));
  }
  if (coded !== undefined) {
    const codes = extra(coded.field);
    const types = Array.isArray(codes) ? codes.map((code) => coded.types[String(code)]) : [];
    const known = types.filter((type) => type !== undefined);
    // More than there are layers: those that predict further tokens.
    if (known.length === types.length && known.length >= count) return known.slice(0, count);
    const want = `a list of ${count} numbers, of ${Object.keys(coded.types).join(", ")}`;
    throw badField(model, coded.field, codes, want);
  }
  // Without a window there is nothing to slide.
  const gate = fullHasNoRope?.unlessNull;
  const isAlike = fullEvery === undefined || (gate !== undefined && extra(gate) === null);
  if (isAlike) return all.map(() => rule.allAre ?? "full_attention");
  const every = typeof fullEvery === "number" ? fullEvery : period(model, fullEvery);
  const isFull = (i: number) => (i + 1) % every === 0 || (firstIsFull && i === 0);
  return all.map((i) => (isFull(i) ? "full_attention" : others));
}

/** The n of "every n-th layer". The field holds a number, or letters that end with a G. */
function period(model: TextModel, field: string): number {
  const every = model.extra(field);
  const n = typeof every === "string" && /^L*G$/.test(every) ? every.length : every;
  if (typeof n === "number" && Number.isInteger(n) && n >= 1) return n;
  throw badField(model, field, every, "a whole number from 1, or letters such as LLLG");
}

function groupOf(model: TextModel, layer: Layer, flags: ModelFlags): LayerGroup {
  const { index, type, hasOwnK } = layer;
  const { text, head, row } = model;
  const numQHeads = ofLayer(model, "num_attention_heads", index) ?? text.num_attention_heads;
  const headDim = fieldOf(model, type, "head_dim") ?? dividedHeadDim(model);
  const ofAll = fieldOf(model, type, "num_key_value_heads") ?? kvHeadsOfNull(model);
  const times = type === "sliding_attention" ? (row?.layers?.slidingKv ?? 1) : 1;
  const numKvHeads = ofLayer(model, "num_key_value_heads", index) ?? ofAll * times;
  if (numQHeads % numKvHeads !== 0) {
    const want = `a divisor of num_attention_heads, ${numQHeads}`;
    throw badField(model, "num_key_value_heads", numKvHeads, want);
  }
  const rope = ropeOf(model, layer, headDim, flags);
  const values = meaningful({ ...head.values, headDim, rotaryDim: rope.rotaryDim });
  return { types: [type], count: 1, headDim, numQHeads, numKvHeads, hasOwnK, rope, values };
}

/** The heads of a layer, if the config lists those of each. */
function ofLayer(
  model: TextModel,
  name: "num_attention_heads" | "num_key_value_heads",
  index: number,
): number | undefined {
  const field = model.row?.layers?.perLayer?.[name];
  const list = field === undefined ? undefined : model.fields[field];
  if (field === undefined || list === undefined || list === null) return undefined;
  const heads = Array.isArray(list) ? list[index] : undefined;
  if (typeof heads === "number" && Number.isInteger(heads) && heads >= 1 && heads <= 65_536) return heads;
  throw badField(model, field, list, "a list of whole numbers from 1 to 65536, one for each layer");
}

/** A width or a count. `full_attention` layers may have a field of their own for it. */
function fieldOf(
  model: TextModel,
  type: string,
  name: "head_dim" | "num_key_value_heads",
): number | undefined {
  const { text, row, extra } = model;
  const own = type === "full_attention" ? row?.layers?.fullFields?.[name] : undefined;
  const isOpen = own !== undefined && (own.gate === undefined || extra(own.gate) === true);
  const value = isOpen ? extra(own.field) : undefined;
  if (value === undefined || value === null) return text[name] ?? undefined;
  if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 65_536) return value;
  throw badField(model, own?.field ?? name, value, "a whole number from 1 to 65536");
}

/** Null means that each q head has a kv head of its own. A field that is left out means nothing. */
function kvHeadsOfNull({ path, prefix, text, extra }: TextModel): number {
  if (extra("num_key_value_heads") === null) return text.num_attention_heads;
  const message = `${quoted(path)}: ${prefix}num_key_value_heads is missing`;
  throw userError("missing-model-fact", message, "add it to the config; null means as many as q heads");
}

function dividedHeadDim(model: TextModel): number {
  const { path, prefix, text, row } = model;
  const { hidden_size: width, num_attention_heads: heads } = text;
  const name = row?.names?.head_dim ?? "head_dim";
  if (width == null) throw badField(model, name, undefined, "a whole number, or hidden_size in its place");
  if (width % heads === 0) return width / heads;
  const message = `${quoted(path)}: ${prefix}${name} is missing, and hidden_size ${width} is no multiple of ${heads} heads`;
  throw userError("bad-model-config", message, "add head_dim to the config");
}
