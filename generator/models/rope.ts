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
import { readScaling } from "./scaling.js";

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

/** What the command line adds to a config. */
export interface RopeFlags {
  readonly rotaryDim?: number | undefined;
  readonly ropeTheta?: number | undefined;
}

/** Layers that RoPE is asked for: of a type, and rotating or not. */
interface Asking {
  readonly type: string;
  readonly rotates: boolean;
}

/** @throws UserError `bad-model-config`, `missing-model-fact`, `bad-option`. */
export function ropeOf(model: TextModel, layers: Asking, headDim: number, flags: RopeFlags): LayerRope {
  const { name, fields, around, remarks } = parametersOf(model, layers);
  const where = `${model.prefix}${name}`;
  const partial = partialFactor(model, fields ?? {}, where);
  requirePartial(model, fields ?? {}, where, partial);
  if (fields === null || !layers.rotates) {
    return { rotaryDim: rotaryDimOf(model, headDim, partial, flags), tables: [], remarks: [] };
  }
  const base = baseOf(model, fields, where, flags);
  const scaling = readScaling(model, fields, where, around);
  // The factor of `proportional` says how many of the whole head's pairs have a frequency.
  const part = scaling.ropeType === "proportional" ? 1 : partial;
  const rotaryDim = rotaryDimOf(model, headDim, part, flags);
  const tables = scaling.scalings.map(({ use, scaling }): Table => {
    const parameters = { base: base.value, rotaryDim, ...(scaling === undefined ? {} : { scaling }) };
    return { use, parameters };
  });
  // An odd or a zero rotary_dim is for the rules of the op to refuse.
  if (rotaryDim >= 2 && rotaryDim % 2 === 0) for (const table of tables) requireTable(model, where, table);
  return { rotaryDim, tables, remarks: [...remarks, ...base.remarks, ...scaling.remarks] };
}

function requireTable({ path }: TextModel, where: string, { parameters }: Table): void {
  try {
    ropeTable(parameters);
  } catch (error) {
    if (!(error instanceof NormropeError)) throw error;
    throw userError(
      "bad-model-config",
      `${quoted(path)}: ${where} gives no table: ${error.message}`,
      "correct the config",
    );
  }
}

/** What a config says of a layer type. */
interface Stated {
  /** Of the field that holds it. */
  readonly name: string;
  /** Null for layers that do not rotate. */
  readonly fields: Fields | null;
  /** The object around them, where they are by layer type. */
  readonly around?: Fields;
  readonly remarks: readonly string[];
}

function parametersOf(model: TextModel, { type, rotates }: Asking): Stated {
  const { text, row, fields, path, prefix } = model;
  const own = row?.defaults?.rope_parameters;
  const local = row?.thetaOf === undefined ? {} : withOldTheta(model, row.thetaOf, type);
  if (row?.thetaOf !== undefined && !isFilled(fields.rope_parameters)) {
    const scaled = type === "full_attention" ? text.rope_scaling : {};
    return { name: "rope_scaling", fields: { ...local, ...scaled }, around: {}, remarks: [] };
  }
  const scaling = isFilled(fields.rope_scaling) ? fields.rope_scaling : undefined;
  const parameters = isFilled(fields.rope_parameters) ? fields.rope_parameters : undefined;
  if (scaling !== undefined && parameters !== undefined && !isDeepStrictEqual(scaling, parameters)) {
    const message = `${quoted(path)}: ${prefix}rope_scaling and ${prefix}rope_parameters say different things`;
    throw userError("bad-model-config", message, "leave out the one that the model is not run with");
  }
  const name = scaling === undefined ? "rope_parameters" : "rope_scaling";
  const isOwn = scaling === undefined && parameters === undefined && isObject(own);
  const remarks = isOwn
    ? ["the config leaves out rope_parameters: they are here as the model's own code has them"]
    : [];
  const said = scaling ?? parameters ?? (isObject(own) ? own : {});
  if (!isByLayerType(said)) return { name, fields: said, remarks };
  const ofType = { name: `${name}.${type}`, around: said, remarks };
  // Null stands for no RoPE, and in models whose old fields had a base for each type, for their own.
  const entry = rotates ? (said[type] ?? (row?.thetaOf === undefined ? said[type] : {})) : null;
  if (entry === null) return { ...ofType, fields: null };
  if (isObject(entry)) return { ...ofType, fields: { ...local, ...entry } };
  throw badField(path, `${prefix}${name}.${type}`, entry, "the parameters of these layers, or null");
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

function baseOf(
  model: TextModel,
  fields: Fields,
  where: string,
  { ropeTheta }: RopeFlags,
): { value: number; remarks: readonly string[] } {
  const { path, prefix, row } = model;
  const own = row?.defaults?.rope_theta;
  const said = fields.rope_theta ?? model.fields.rope_theta ?? undefined;
  if (said !== undefined && (typeof said !== "number" || !(said > 0) || !Number.isFinite(said))) {
    throw badField(path, `${where}.rope_theta`, said, "a positive number");
  }
  if (said !== undefined && ropeTheta !== undefined && said !== ropeTheta) {
    throw userError("bad-option", `--rope-theta is ${ropeTheta}, and the config has ${said}`, "leave it out");
  }
  const given = said ?? ropeTheta;
  if (given !== undefined) return { value: given, remarks: [] };
  if (typeof own === "number") {
    return {
      value: own,
      remarks: [`the config leaves out rope_theta: ${own}, as the model's own code takes it`],
    };
  }
  const message = `${quoted(path)}: ${prefix}rope_theta is missing, the base of RoPE`;
  throw userError("missing-model-fact", message, "say it with --rope-theta N");
}

function partialFactor({ path, extra }: TextModel, fields: Fields, where: string): number | undefined {
  const said = fields.partial_rotary_factor ?? extra("partial_rotary_factor") ?? undefined;
  if (said === undefined) return undefined;
  if (typeof said === "number" && said > 0 && said <= 1) return said;
  throw badField(path, `${where}.partial_rotary_factor`, said, "a number above 0 and at most 1");
}

/** Code that rotates whole heads cannot be told otherwise; `proportional` has the factor for what it does not turn. */
function requirePartial(model: TextModel, fields: Fields, where: string, partial?: number): void {
  const { path, prefix, row } = model;
  if (row === undefined || row.partial || partial === undefined || partial === 1) return;
  if ((fields.rope_type ?? fields.type) === "proportional") return;
  const name = fields.partial_rotary_factor == null ? prefix : `${where}.`;
  throw badField(path, `${name}partial_rotary_factor`, partial, `1: ${row.types[0]} rotates whole heads`);
}

function rotaryDimOf(
  { path, prefix, row, extra }: TextModel,
  headDim: number,
  partial: number | undefined,
  flags: RopeFlags,
): number {
  const byFactor = partial === undefined ? undefined : Math.trunc(headDim * partial);
  const stated =
    row === undefined || row.rotaryStatedBy?.includes("rotary_dim")
      ? (extra("rotary_dim") ?? undefined)
      : undefined;
  if (stated !== undefined && typeof stated !== "number") {
    throw badField(path, `${prefix}rotary_dim`, stated, "a whole number");
  }
  if (stated !== undefined && byFactor !== undefined && stated !== byFactor) {
    const message = `${quoted(path)}: ${prefix}rotary_dim is ${stated}, and partial_rotary_factor makes it ${byFactor}`;
    throw userError("bad-model-config", message, "leave out the one that the model is not run with");
  }
  const isWholeByDefault = row !== undefined && row.rotaryStatedBy === undefined;
  const known = stated ?? byFactor ?? (isWholeByDefault ? headDim : undefined);
  if (known !== undefined && flags.rotaryDim !== undefined && known !== flags.rotaryDim) {
    throw userError(
      "bad-option",
      `--rotary-dim is ${flags.rotaryDim}, and the model's is ${known}`,
      "leave it out",
    );
  }
  const asked = flags.rotaryDim;
  if (known === undefined && asked !== undefined && (asked % 2 !== 0 || asked > headDim)) {
    const message = `--rotary-dim is ${asked}, of heads of ${headDim} elements`;
    throw userError("bad-option", message, `write --rotary-dim with an even number from 2 to ${headDim}`);
  }
  const rotaryDim = known ?? asked;
  if (rotaryDim !== undefined) return rotaryDim;
  const message = `${quoted(path)} does not say how many elements of a head rotate`;
  throw userError("missing-model-fact", message, "say it with --rotary-dim N");
}
