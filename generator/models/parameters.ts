/**
 * A config's RoPE fields → the parameters of one type of layer.
 *
 * In: a text model and a layer type. Out: the parameters as the config states them, and remarks. Old fields (`rope_theta`,
 * `rope_scaling`) and new ones (`rope_parameters`, for all layers or by layer type) are read as `modeling_rope_utils.py` and
 * the models' own code of transformers 5.18.0 read them. Pure.
 */
import { isDeepStrictEqual } from "node:util";
import { quoted, userError } from "../diagnostics.js";
import { badField, type Fields, isObject } from "./config_file.js";
import type { TextModel } from "./fields.js";
import type { Stated } from "./scaling.js";

/** The layers to find RoPE for. */
export interface Asking {
  readonly type: string;
  readonly rotates: boolean;
}

/** The RoPE parameters of a layer type; undefined if it does not rotate. */
export function parametersOf(
  model: TextModel,
  { type, rotates }: Asking,
  remarks: string[],
): Stated | undefined {
  const { row } = model;
  if (!rotates) return undefined;
  if (row?.thetaOf !== undefined) return byOldFields(model, row.thetaOf, type, remarks);
  if (row?.byTypeAlone) return ofTypeAlone(model, type, remarks);
  if (row?.tableOf !== undefined) return byTable(model, row.tableOf, type);
  const { said, name } = saidOf(model, remarks);
  if (!isByLayerType(said)) return { name, fields: said };
  if (row?.oneTable) {
    remarks.push(`${name} by layer type is not read: the model's own code has one table for all layers`);
    return { name, fields: {} };
  }
  // Null means no RoPE.
  const entry = said[type];
  if (entry === null) return undefined;
  if (isObject(entry)) return { name: `${name}.${type}`, fields: entry, around: said };
  throw badField(model, `${name}.${type}`, entry, "the parameters of these layers, or null");
}

/** The parameters of all layers, or of each type, and the field that holds them. */
function saidOf({ row, fields, path, prefix }: TextModel, remarks: string[]) {
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
  return { said, name: scaling === undefined ? "rope_parameters" : "rope_scaling" };
}

/**
 * Parameters of models whose old fields have a base for each layer type. Parameters for all layers at once say nothing to them,
 * and null means the model's own.
 */
function byOldFields(
  model: TextModel,
  thetaOf: Readonly<Record<string, string>>,
  type: string,
  remarks: string[],
): Stated {
  const { text, row, fields } = model;
  const own = row?.defaults?.rope_parameters;
  const base = fields[thetaOf[type] ?? ""];
  const local = {
    ...(isObject(own) && isObject(own[type]) ? own[type] : {}),
    ...(base === undefined || base === null ? {} : { rope_theta: base }),
  };
  if (!isFilled(fields.rope_parameters)) {
    const scaled = type === "full_attention" ? text.rope_scaling : {};
    return { name: "rope_scaling", fields: { ...local, ...scaled }, around: {} };
  }
  const { said, name } = saidOf(model, remarks);
  if (!isByLayerType(said)) {
    remarks.push(`${name} for all layers is not read: the model's own code looks for it by layer type`);
    return { name, fields: local, around: {} };
  }
  const entry = said[type] ?? {};
  if (isObject(entry)) return { name: `${name}.${type}`, fields: { ...local, ...entry }, around: said };
  throw badField(model, `${name}.${type}`, entry, "the parameters of these layers, or null");
}

/** Parameters of models whose own code reads nothing but them. */
function ofTypeAlone(model: TextModel, type: string, remarks: string[]): Stated | undefined {
  const { fields } = model;
  const beside = ["rope_theta", "rope_scaling", "partial_rotary_factor"].filter(
    (name) => fields[name] != null,
  );
  if (beside.length > 0)
    remarks.push(
      `${beside.join(", ")}: not read, the model's own code looks at rope_parameters by layer type`,
    );
  const { rope_scaling: _, ...rest } = fields;
  const { said, name } = saidOf({ ...model, fields: rest }, remarks);
  const entry = said[type];
  const isScaled = Object.values(said).some(
    (each) => isObject(each) && (each.rope_type ?? "default") !== "default",
  );
  if (isScaled && (fields.partial_rotary_factor ?? 1) !== 1) {
    const want = `in ${name}, for each layer type: beside a scaling transformers reads it for some types only`;
    throw badField(model, "partial_rotary_factor", fields.partial_rotary_factor, want);
  }
  if (entry === null) return undefined;
  if (isObject(entry)) return { name: `${name}.${type}`, fields: entry, around: said, isAlone: true };
  throw badField(model, `${name}.${type}`, entry, "the parameters of these layers, or null");
}

/** Parameters under names that layer types share: one table has the scaling, the other has none. */
function byTable(
  { row, fields, extra }: TextModel,
  { scaled, types }: NonNullable<NonNullable<TextModel["row"]>["tableOf"]>,
  type: string,
): Stated {
  const name = isFilled(fields.rope_parameters) ? "rope_parameters" : "rope_scaling";
  const said = fields[name];
  const label = types[type] ?? scaled;
  const around = isObject(said) ? said : {};
  const entry = around[label];
  if (isObject(entry)) return { name: `${name}.${label}`, fields: entry, around };
  const field = row?.names?.[`rope_theta of ${label}`] ?? "rope_theta";
  const base = { rope_theta: extra(field) };
  if (label !== scaled) return { name, fields: base };
  // transformers sets it: the model's own code does not multiply cosine and sine by YaRN's factor.
  const factor = around.rope_type === "yarn" || around.type === "yarn" ? { attention_factor: 1 } : {};
  return { name, fields: { ...factor, ...around, ...base } };
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
