/**
 * What a config says of RoPE → the parameters of `ropeTable`, for each type of layer.
 *
 * In: a text model, a layer type, its head_dim. Out: how much of a head rotates, and the table, or the two, that the
 * layers need. Old forms (`rope_theta`, `rope_scaling`) and new ones (`rope_parameters`, for all layers or by layer type)
 * are read as transformers 5.18.0 does, `modeling_rope_utils.py`. Pure.
 */
import { isDeepStrictEqual } from "node:util";
import { NormropeError } from "../../runtime/errors.js";
import { type RopeParameters, ropeTable } from "../../runtime/rope_table.js";
import { quoted, userError } from "../diagnostics.js";
import { badField, type Fields, isObject } from "./config_file.js";
import type { TextModel } from "./fields.js";
import type { ModelFlags } from "./head.js";
import { readScaling, type Stated } from "./scaling.js";

/** One table, and for which sequences it is where there is more than one. */
export interface Table {
  readonly use?: string | undefined;
  readonly parameters: RopeParameters;
}

export interface LayerRope {
  /** Leading elements of a head that rotate. */
  readonly rotaryDim: number;
  /** None where the layers do not rotate. */
  readonly tables: readonly Table[];
  readonly remarks: readonly string[];
}

/** Layers that RoPE is asked for: of a type, and rotating or not. */
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
  // An odd or a zero rotary_dim is for the range of its axis to refuse.
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

/** What a config says of a type of layers; undefined where they do not rotate. */
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
    throw userError("bad-model-config", message, "leave out the one that the model is not run with");
  }
  const own = row?.defaults?.rope_parameters;
  const said = scaling ?? parameters ?? (isObject(own) ? own : {});
  if (said === own)
    remarks.push("the config leaves out rope_parameters: they are here as the model's own code has them");
  const name = scaling === undefined ? "rope_parameters" : "rope_scaling";
  if (!isByLayerType(said)) return { name, fields: said };
  // Null stands for no RoPE, and in models whose old fields had a base for each type, for their own.
  const entry = rotates ? (said[type] ?? (row?.thetaOf === undefined ? said[type] : {})) : null;
  if (entry === null) return undefined;
  if (isObject(entry)) return { name: `${name}.${type}`, fields: { ...local, ...entry }, around: said };
  throw badField(model, `${name}.${type}`, entry, "the parameters of these layers, or null");
}

/** The model's own parameters of a layer type, with the base that an old field of the config may give. */
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

/** Parameters themselves are numbers, words and lists. */
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
  const message = `${quoted(model.path)}: ${model.prefix}rope_theta is missing, the base of RoPE`;
  throw userError("missing-model-fact", message, "say it with --rope-theta N");
}

/** Code that rotates whole heads cannot be told otherwise; `proportional` has the factor for what it does not turn. */
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
    throw userError("bad-model-config", message, "leave out the one that the model is not run with");
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
  const message = `--rotary-dim is ${asked}, of heads of ${headDim} elements`;
  const fix = `write --rotary-dim with an even number from 2 to ${headDim}`;
  throw userError("bad-option", message, fix);
}
