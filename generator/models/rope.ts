/**
 * A config's RoPE fields → the parameters of `ropeTable`, for each type of layer.
 *
 * In: a text model, a layer type, its head_dim. Out: how much of a head rotates, and the one or two tables that the layers
 * need. Old fields (`rope_theta`, `rope_scaling`) and new ones (`rope_parameters`, for all layers or by layer type) are read
 * as `modeling_rope_utils.py` of transformers 5.18.0 reads them. Pure.
 */
import { isDeepStrictEqual } from "node:util";
import { NormropeError } from "../../runtime/errors.js";
import { type RopeParameters, ropeTable } from "../../runtime/rope_table.js";
import { quoted, userError } from "../diagnostics.js";
import { badField, type Fields, isObject } from "./config_file.js";
import type { TextModel } from "./fields.js";
import type { ModelFlags } from "./head.js";
import { readScaling, type Stated } from "./scaling.js";

/** One table. If layers have several, `use` says for which sequences. */
export interface Table {
  readonly use?: string | undefined;
  readonly parameters: RopeParameters;
}

export interface LayerRope {
  /** Leading elements of a head that rotate. */
  readonly rotaryDim: number;
  /** Empty if the layers do not rotate. */
  readonly tables: readonly Table[];
  readonly remarks: readonly string[];
}

/** The layers to find RoPE for. */
interface Asking {
  readonly type: string;
  readonly rotates: boolean;
}

/** @throws UserError `bad-model-config`, `missing-model-fact`, `bad-option`. */
export function ropeOf(model: TextModel, layers: Asking, headDim: number, flags: ModelFlags): LayerRope {
  const remarks: string[] = [];
  const stated = parametersOf(model, layers, remarks);
  const { name, fields } = stated ?? { name: "", fields: {} };
  const partial = partialFactor(model, fields, name);
  if (stated === undefined || !layers.rotates)
    return { rotaryDim: rotaryDimOf(model, headDim, partial, flags), tables: [], remarks: [] };
  const base = baseOf(model, fields, name, flags);
  const scaling = readScaling(model, stated);
  // The factor of `proportional` says how many of the whole head's pairs have a frequency.
  const part = scaling.ropeType === "proportional" ? 1 : partial;
  const rotaryDim = rotaryDimOf(model, headDim, part, flags);
  const tables = scaling.scalings.map(({ use, scaling }): Table => {
    const parameters = { base, rotaryDim, ...(scaling === undefined ? {} : { scaling }) };
    return { use, parameters };
  });
  // The range of the axis refuses an odd rotary_dim, and 0.
  if (rotaryDim >= 2 && rotaryDim % 2 === 0) for (const table of tables) requireTable(model, name, table);
  return { rotaryDim, tables, remarks: [...remarks, ...scaling.remarks] };
}

function requireTable({ path, prefix }: TextModel, name: string, { parameters }: Table): void {
  try {
    ropeTable(parameters);
  } catch (error) {
    if (!(error instanceof NormropeError)) throw error;
    const message = `${quoted(path)}: ${prefix}${name} gives no table: ${error.message}`;
    throw userError("bad-model-config", message, "correct the config");
  }
}

/** The RoPE parameters of a layer type; undefined if it does not rotate. */
function parametersOf(model: TextModel, { type, rotates }: Asking, remarks: string[]): Stated | undefined {
  const { text, row, fields, path, prefix } = model;
  const local = row?.thetaOf === undefined ? {} : withOldTheta(model, row.thetaOf, type);
  if (row?.thetaOf !== undefined && !isFilled(fields.rope_parameters)) {
    const scaled = type === "full_attention" ? text.rope_scaling : {};
    return { name: "rope_scaling", fields: { ...local, ...scaled }, around: {} };
  }
  const scaling = isFilled(fields.rope_scaling) ? fields.rope_scaling : undefined;
  const parameters = isFilled(fields.rope_parameters) ? fields.rope_parameters : undefined;
  if (scaling !== undefined && parameters !== undefined && !isDeepStrictEqual(scaling, parameters)) {
    const message = `${quoted(path)}: ${prefix}rope_scaling and ${prefix}rope_parameters say different things`;
    throw userError("bad-model-config", message, "remove the one that the model does not use");
  }
  const own = row?.defaults?.rope_parameters;
  const said = scaling ?? parameters ?? (isObject(own) ? own : {});
  if (said === own)
    remarks.push("the config leaves out rope_parameters: these are the defaults of the model's own code");
  const name = scaling === undefined ? "rope_parameters" : "rope_scaling";
  if (!isByLayerType(said)) return { name, fields: said };
  // Null means no RoPE. In models whose old fields had a base for each type, it means the model's own parameters.
  const entry = rotates ? (said[type] ?? (row?.thetaOf === undefined ? said[type] : {})) : null;
  if (entry === null) return undefined;
  if (isObject(entry)) return { name: `${name}.${type}`, fields: { ...local, ...entry }, around: said };
  throw badField(model, `${name}.${type}`, entry, "the parameters of these layers, or null");
}

/** The model's own parameters of a layer type, with the base from the config's old field if it is set. */
function withOldTheta(
  { row, fields }: TextModel,
  thetaOf: Readonly<Record<string, string>>,
  type: string,
): Fields {
  const own = row?.defaults?.rope_parameters;
  const parameters = isObject(own) && isObject(own[type]) ? own[type] : {};
  const base = fields[thetaOf[type] ?? ""];
  return { ...parameters, ...(base === undefined || base === null ? {} : { rope_theta: base }) };
}

function isFilled(value: unknown): value is Fields {
  return isObject(value) && Object.keys(value).length > 0;
}

/** Whether the values are parameters for each layer type. Parameters themselves are never objects. */
function isByLayerType(fields: Fields): boolean {
  return Object.entries(fields).some(
    ([name, value]) => isObject(value) || (value === null && /attention/.test(name)),
  );
}

function baseOf(model: TextModel, fields: Fields, where: string, { ropeTheta }: ModelFlags): number {
  const said = fields.rope_theta ?? model.fields.rope_theta ?? undefined;
  if (said !== undefined && (typeof said !== "number" || !(said > 0) || !Number.isFinite(said)))
    throw badField(model, `${where}.rope_theta`, said, "a positive number");
  if (said !== undefined && ropeTheta !== undefined && said !== ropeTheta)
    throw userError("bad-option", `--rope-theta is ${ropeTheta}, and the config has ${said}`, "leave it out");
  const base = said ?? ropeTheta ?? model.extra("rope_theta");
  if (typeof base === "number") return base;
  const message = `${quoted(model.path)}: ${model.prefix}rope_theta, the base of RoPE, is missing`;
  throw userError("missing-model-fact", message, "say it with --rope-theta N");
}

/**
 * The `partial_rotary_factor`. A factor other than 1 is refused if the model's own code ignores it; `proportional` has its own
 * use for it.
 */
function partialFactor(model: TextModel, fields: Fields, where: string): number | undefined {
  const { row, extra } = model;
  const said = fields.partial_rotary_factor ?? extra("partial_rotary_factor") ?? undefined;
  if (said === undefined) return undefined;
  const name = fields.partial_rotary_factor == null ? "" : `${where}.`;
  const bad = (want: string) => badField(model, `${name}partial_rotary_factor`, said, want);
  if (typeof said !== "number" || !(said > 0 && said <= 1)) throw bad("a number above 0 and at most 1");
  const isRead = row === undefined || row.partial || (fields.rope_type ?? fields.type) === "proportional";
  if (isRead || said === 1) return said;
  throw bad(`1: ${row.types[0]} rotates whole heads`);
}

function rotaryDimOf(
  model: TextModel,
  headDim: number,
  partial: number | undefined,
  { rotaryDim: asked }: ModelFlags,
): number {
  const { path, prefix, row, extra } = model;
  const byFactor = partial === undefined ? undefined : Math.trunc(headDim * partial);
  const isStated = row === undefined || row.rotaryStatedBy?.includes("rotary_dim");
  const stated = isStated ? (extra("rotary_dim") ?? undefined) : undefined;
  if (stated !== undefined && typeof stated !== "number")
    throw badField(model, "rotary_dim", stated, "a whole number");
  if (stated !== undefined && byFactor !== undefined && stated !== byFactor) {
    const message = `${quoted(path)}: ${prefix}rotary_dim is ${stated}, and partial_rotary_factor makes it ${byFactor}`;
    throw userError("bad-model-config", message, "remove the one that the model does not use");
  }
  const isWholeByDefault = row !== undefined && row.rotaryStatedBy === undefined;
  const known = stated ?? byFactor ?? (isWholeByDefault ? headDim : undefined);
  if (known !== undefined && asked !== undefined && known !== asked)
    throw userError("bad-option", `--rotary-dim is ${asked}, and the model's is ${known}`, "leave it out");
  if (known !== undefined) return known;
  if (asked === undefined) {
    const message = `${quoted(path)} does not say how many elements of a head rotate`;
    throw userError("missing-model-fact", message, "say it with --rotary-dim N");
  }
  if (asked % 2 === 0 && asked <= headDim) return asked;
  const message = `--rotary-dim is ${asked}, and a head has ${headDim} elements`;
  const fix = `write --rotary-dim with an even number from 2 to ${headDim}`;
  throw userError("bad-option", message, fix);
}
