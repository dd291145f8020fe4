/**
 * RoPE parameters as configs write them → the scalings of `ropeTable`.
 *
 * In: the parameters of one layer type, and the lengths that the config has beside them. Out: the scaling, or several
 * where tables are for sequences of different lengths, and remarks. Pure.
 */
import { z } from "zod";
import type { RopeScaling, Scaling } from "../../runtime/rope_scalings.js";
import { quoted, UserError, userError } from "../diagnostics.js";
import { badField, type Fields } from "./config_file.js";
import type { TextModel } from "./fields.js";

export interface ReadScaling {
  readonly ropeType: string;
  readonly scalings: readonly { readonly use?: string; readonly scaling: RopeScaling | undefined }[];
  readonly remarks: readonly string[];
}

const NUMBER = z.number().positive().describe("a positive number");
const MAYBE = z.number().positive().nullish().describe("a positive number, or left out");
const LIST = z.array(z.number().positive()).describe("a list of positive numbers");
const LENGTHS = { original_max_position_embeddings: MAYBE };

/** What the scalings are given, in the words of `rope_type`. */
const SCHEMAS = {
  default: z.object({}),
  linear: z.object({ factor: NUMBER }),
  dynamic: z.object({ factor: MAYBE, alpha: MAYBE }),
  yarn: z.object({
    ...{ ...LENGTHS, factor: MAYBE, beta_fast: MAYBE, beta_slow: MAYBE, attention_factor: MAYBE },
    truncate: z.boolean().nullish().describe("true or false"),
    mscale: z.number().nonnegative().nullish().describe("a number from 0"),
    mscale_all_dim: z.number().nonnegative().nullish().describe("a number from 0"),
  }),
  llama3: z.object({ ...LENGTHS, factor: NUMBER, low_freq_factor: NUMBER, high_freq_factor: NUMBER }),
  longrope: z.object({
    ...{ ...LENGTHS, short_factor: LIST, long_factor: LIST, factor: MAYBE, attention_factor: MAYBE },
  }),
  proportional: z.object({
    partial_rotary_factor: z.number().min(0).max(1).nullish().describe("a number from 0 to 1"),
    factor: MAYBE,
  }),
} as const;

type RopeType = keyof typeof SCHEMAS;

/** Of every type, and read elsewhere. */
const COMMON = ["rope_type", "type", "rope_theta", "partial_rotary_factor"];

/**
 * @param around the object that holds the parameters, where they are by layer type
 * @throws UserError `bad-model-config`.
 */
export function readScaling(
  model: TextModel,
  fields: Fields,
  where: string,
  around: Fields | undefined,
): ReadScaling {
  const ropeType = fields.rope_type ?? fields.type ?? "default";
  if (typeof ropeType !== "string" || !isRopeType(ropeType)) {
    throw badField(model.path, `${where}.rope_type`, ropeType, `one of ${Object.keys(SCHEMAS).join(", ")}`);
  }
  const known = [...COMMON, ...Object.keys(SCHEMAS[ropeType].shape)];
  const unread = Object.keys(fields).filter((name) => !known.includes(name) && fields[name] !== null);
  const remarks = unread.map(
    (name) => `${where}.${name} is not read: rope_type ${ropeType} has no use for it`,
  );
  const read = scalingOf(ropeType, model, fields, where, around);
  return { ropeType, scalings: read.scalings, remarks: [...remarks, ...(read.remarks ?? [])] };
}

function isRopeType(name: string): name is RopeType {
  return Object.hasOwn(SCHEMAS, name);
}

function scalingOf(
  ropeType: RopeType,
  model: TextModel,
  fields: Fields,
  where: string,
  around: Fields | undefined,
): { scalings: ReadScaling["scalings"]; remarks?: readonly string[] } {
  const parse = <T extends RopeType>(type: T) => parsed(SCHEMAS[type], model.path, where, fields);
  const one = (scaling: RopeScaling | undefined) => ({ scalings: [{ scaling }] });
  switch (ropeType) {
    case "default":
      return one(undefined);
    case "linear":
      return one({ type: "linear", factor: parse("linear").factor });
    case "dynamic":
      return dynamic(model, where, parse("dynamic"));
    case "yarn": {
      const read = parse("yarn");
      const original = originalLength(model, read.original_max_position_embeddings, where, around);
      const isIgnored = around !== undefined && fields.truncate !== undefined && fields.truncate !== true;
      const truncate = around === undefined ? read.truncate : truncateOf(model, around, where);
      const remarks = isIgnored
        ? [`${where}.truncate is not read: transformers 5.18.0 looks for it beside the layer types`]
        : [];
      const scaling: RopeScaling = {
        type: "yarn",
        factor: read.factor ?? longest(model, where) / original.length,
        originalMaxPositionEmbeddings: original.length,
        betaFast: read.beta_fast ?? undefined,
        betaSlow: read.beta_slow ?? undefined,
        // Python takes null for a no.
        truncate: truncate === null ? false : truncate,
        attentionFactor: read.attention_factor ?? undefined,
        mscale: read.mscale ?? undefined,
        mscaleAllDim: read.mscale_all_dim ?? undefined,
      };
      const softmax = read.mscale_all_dim
        ? [
            "mscale_all_dim: code like DeepSeek's also multiplies the softmax scale by it, which no table does",
          ]
        : [];
      return { ...one(scaling), remarks: [...original.remarks, ...remarks, ...softmax] };
    }
    case "llama3": {
      const read = parse("llama3");
      const original = originalLength(model, read.original_max_position_embeddings, where, around);
      const scaling: RopeScaling = {
        type: "llama3",
        factor: read.factor,
        lowFreqFactor: read.low_freq_factor,
        highFreqFactor: read.high_freq_factor,
        originalMaxPositionEmbeddings: original.length,
      };
      return { ...one(scaling), remarks: original.remarks };
    }
    case "longrope":
      return longrope(model, where, parse("longrope"), around);
    case "proportional": {
      const { partial_rotary_factor, factor } = parse("proportional");
      const partialRotaryFactor = partial_rotary_factor ?? partialBeside(model) ?? 1;
      return one({ type: "proportional", partialRotaryFactor, factor: factor ?? undefined });
    }
    default:
      return ropeType satisfies never;
  }
}

function parsed<S extends z.ZodObject>(shape: S, path: string, where: string, fields: Fields): z.infer<S> {
  const read = shape.safeParse(fields);
  if (read.success) return read.data;
  const wrong = new Set(read.error.issues.map((issue) => String(issue.path[0])));
  throw new UserError(
    [...wrong].flatMap((name) => {
      const want = shape.shape[name] as z.ZodType | undefined;
      return badField(path, `${where}.${name}`, fields[name], want?.description ?? "left out").diagnostics;
    }),
  );
}

function dynamic(model: TextModel, where: string, read: z.infer<typeof SCHEMAS.dynamic>) {
  const { alpha } = read;
  // HunYuan's, which does not depend on a length; no model that is imported by its name has it.
  if (typeof alpha === "number" && model.row === undefined) {
    return { scalings: [{ scaling: { type: "alpha", alpha } as const }] };
  }
  if (typeof read.factor !== "number")
    throw badField(model.path, `${where}.factor`, read.factor, "a positive number");
  const maxPositionEmbeddings = longest(model, where);
  const scaling = {
    type: "dynamic",
    factor: read.factor,
    maxPositionEmbeddings,
    length: maxPositionEmbeddings,
  } as const;
  return {
    scalings: [{ use: `sequences of up to ${maxPositionEmbeddings} tokens`, scaling }],
    remarks: [
      ...(typeof alpha === "number"
        ? [`${where}.alpha is not read: ${model.row?.types[0]} has no use for it`]
        : []),
      "the model makes its table anew as a sequence grows past max_position_embeddings: a table is for one `length`, in tokens",
    ],
  };
}

function longrope(
  model: TextModel,
  where: string,
  read: z.infer<typeof SCHEMAS.longrope>,
  around: Fields | undefined,
) {
  const original = originalLength(model, read.original_max_position_embeddings, where, around);
  const scaling: Scaling<"longrope"> = {
    type: "longrope",
    shortFactor: read.short_factor,
    longFactor: read.long_factor,
    originalMaxPositionEmbeddings: original.length,
    factor: read.factor ?? undefined,
    maxPositionEmbeddings: model.text.max_position_embeddings ?? undefined,
    attentionFactor: read.attention_factor ?? undefined,
  };
  const long = Math.max(model.text.max_position_embeddings ?? 0, original.length + 1);
  return {
    scalings: [
      { use: `batches of up to ${original.length} tokens a sequence`, scaling },
      { use: "longer ones", scaling: { ...scaling, length: long } },
    ],
    remarks: original.remarks,
  };
}

/** The context before it was extended. Beside parameters of all layers it has priority over the one among them. */
function originalLength(
  model: TextModel,
  among: number | null | undefined,
  where: string,
  around: Fields | undefined,
) {
  const beside = around === undefined ? model.text.original_max_position_embeddings : undefined;
  const said = beside ?? among;
  if (typeof said === "number") return { length: said, remarks: [] };
  const remark = `${where}.original_max_position_embeddings is left out: max_position_embeddings, as transformers takes it`;
  return { length: longest(model, where), remarks: [remark] };
}

/** By layer type, transformers 5.18.0 looks for it beside the types. */
function truncateOf({ path }: TextModel, around: Fields, where: string): boolean | null | undefined {
  const { truncate } = around;
  if (truncate === undefined || truncate === null || typeof truncate === "boolean") return truncate;
  throw badField(path, `${where.replace(/\.[^.]*$/, "")}.truncate`, truncate, "true or false");
}

function partialBeside({ extra }: TextModel): number | undefined {
  const said = extra("partial_rotary_factor");
  return typeof said === "number" ? said : undefined;
}

function longest({ path, prefix, text }: TextModel, where: string): number {
  if (typeof text.max_position_embeddings === "number") return text.max_position_embeddings;
  const message = `${quoted(path)}: ${where} needs ${prefix}max_position_embeddings, which is missing`;
  throw userError("bad-model-config", message, "add it to the config, in tokens");
}
