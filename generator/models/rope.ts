/**
 * A config's RoPE fields → the parameters of `ropeTable`, for each type of layer.
 *
 * In: a text model, a layer type, its head_dim. Out: how much of a head rotates, the one or two tables that the layers
 * need, and which row of positions turns a pair. Pure.
 */
import { NormropeError } from "../../runtime/errors.js";
import { type PairAxesOptions, pairAxes } from "../../runtime/pair_axes.js";
import { type RopeParameters, ropeTable } from "../../runtime/rope_table.js";
import { quoted, userError } from "../diagnostics.js";
import { badField, type Fields } from "./config_file.js";
import type { TextModel } from "./fields.js";
import type { ModelFlags } from "./head.js";
import { type Asking, parametersOf } from "./parameters.js";
import { readScaling, type Stated } from "./scaling.js";

/** One table. If layers have several, `use` says for which sequences. */
export interface Table {
  readonly use?: string | undefined;
  readonly parameters: RopeParameters;
}

export interface LayerRope {
  /** Elements of a head that rotate; 0 if the layers do not rotate. */
  readonly rotaryDim: number;
  /** Empty if the layers do not rotate, or if a call gives cosine and sine itself. */
  readonly tables: readonly Table[];
  /** The pairs of each row of positions, if there are several. */
  readonly pairAxes?: PairAxesOptions | undefined;
  readonly remarks: readonly string[];
}

const STILL: LayerRope = { rotaryDim: 0, tables: [], remarks: [] };

/** @throws UserError `bad-model-config`, `missing-model-fact`, `bad-option`. */
export function ropeOf(model: TextModel, layers: Asking, headDim: number, flags: ModelFlags): LayerRope {
  if (!layers.rotates) return STILL;
  if (model.row?.rows !== undefined) return { ...STILL, rotaryDim: headDim };
  const remarks: string[] = [];
  const stated = parametersOf(model, layers, remarks);
  if (stated === undefined) return STILL;
  const { name, fields } = stated;
  const partial = partialFactor(model, stated);
  const base = baseOf(model, stated, flags);
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
  const pairs = pairAxesOf(model, fields, name, rotaryDim);
  return { rotaryDim, tables, pairAxes: pairs, remarks: [...remarks, ...scaling.remarks] };
}

/** Which row of positions turns a pair. */
function pairAxesOf(
  model: TextModel,
  fields: Fields,
  where: string,
  rotaryDim: number,
): PairAxesOptions | undefined {
  const own = model.row?.pairAxes;
  if (own === undefined || Number(model.head.values.positionAxes ?? 1) === 1) return undefined;
  const sections = fields.mrope_section ?? own.sections;
  const field = `${where}.mrope_section`;
  const want = `${own.sections.length} whole numbers whose sum is ${rotaryDim / 2}, half of what rotates`;
  if (!Array.isArray(sections) || sections.length !== own.sections.length)
    throw badField(model, field, sections, want);
  try {
    const options = { ...own, sections };
    if (pairAxes(options).length === rotaryDim / 2) return options;
  } catch (error) {
    if (!(error instanceof NormropeError)) throw error;
  }
  throw badField(model, field, sections, want);
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

function baseOf(model: TextModel, stated: Stated, { ropeTheta }: ModelFlags): number {
  const { name: where, fields, isAlone } = stated;
  const said = fields.rope_theta ?? (isAlone ? undefined : model.fields.rope_theta) ?? undefined;
  if (said !== undefined && (typeof said !== "number" || !(said > 0) || !Number.isFinite(said)))
    throw badField(model, `${where}.rope_theta`, said, "a positive number");
  if (said !== undefined && ropeTheta !== undefined && said !== ropeTheta)
    throw userError("bad-option", `--rope-theta is ${ropeTheta}, and the config has ${said}`, "leave it out");
  const base =
    said ?? ropeTheta ?? (isAlone ? undefined : model.extra)?.(model.row?.names?.rope_theta ?? "rope_theta");
  if (typeof base === "number") return base;
  const message = `${quoted(model.path)}: ${model.prefix}rope_theta, the base of RoPE, is missing`;
  throw userError("missing-model-fact", message, "say it with --rope-theta N");
}

/**
 * The `partial_rotary_factor`. A factor other than 1 is refused if the model's own code ignores it; `proportional` has its own
 * use for it.
 */
function partialFactor(model: TextModel, { name: where, fields, isAlone }: Stated): number | undefined {
  const { row, extra } = model;
  const stated = row?.names?.rotary_dim;
  if (stated !== undefined && model.fields[stated] != null) return undefined;
  const beside = () => (isAlone ? row?.defaults?.partial_rotary_factor : extra("partial_rotary_factor"));
  const said = fields.partial_rotary_factor ?? beside() ?? undefined;
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
  const field = row?.names?.rotary_dim ?? "rotary_dim";
  const isStated =
    row === undefined || row.names?.rotary_dim !== undefined || row.rotaryStatedBy?.includes(field);
  const stated = isStated ? (extra(field) ?? undefined) : undefined;
  if (stated !== undefined && (typeof stated !== "number" || stated > headDim))
    throw badField(model, field, stated, `a whole number up to head_dim, ${headDim}`);
  if (stated !== undefined && byFactor !== undefined && stated !== byFactor) {
    const message = `${quoted(path)}: ${prefix}${field} is ${stated}, and partial_rotary_factor makes it ${byFactor}`;
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
