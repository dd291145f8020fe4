/**
 * RoPE parameters as configs write them → the scalings of `ropeTable`.
 *
 * In: the parameters of one layer type, and the lengths that the config has beside them. Out: the scaling, or one for each
 * range of sequence lengths, and remarks. Pure.
 */
import { z } from "zod";
import type { RopeScaling, Scaling } from "../../runtime/rope_scalings.js";
import { quoted, userError } from "../diagnostics.js";
import { badField, type Fields } from "./config_file.js";
import { checked, type TextModel } from "./fields.js";

export interface ReadScaling {
  readonly ropeType: string;
  readonly scalings: readonly { readonly use?: string; readonly scaling: RopeScaling | undefined }[];
  readonly remarks: readonly string[];
}

/** The RoPE parameters of a layer type, as the config writes them. */
export interface Stated {
  /** The name of the field that holds them. */
  readonly name: string;
  readonly fields: Fields;
  /** The object that holds them by layer type, if they are so. */
  readonly around?: Fields;
  /** Whether fields of the config beside these are not read. */
  readonly isAlone?: true;
}

const NUMBER = z.number().positive().describe("a positive number");
const MAYBE = z.number().positive().nullish().describe("a positive number, or left out");
const LIST = z.array(z.number().positive()).describe("a list of positive numbers");
const LENGTHS = { original_max_position_embeddings: MAYBE };

/** The parameters of each `rope_type`. */
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

/** Parameters of every type, which are read elsewhere. */
const COMMON = [
  ...["rope_type", "type", "rope_theta", "partial_rotary_factor"],
  ...["mrope_section", "mrope_interleaved", "xdrope_section"],
];

/** @throws UserError `bad-model-config`. */
export function readScaling(model: TextModel, stated: Stated): ReadScaling {
  const { name: where, fields } = stated;
  const said = fields.rope_type ?? fields.type ?? "default";
  // Several rows of positions are no scaling; beside xdrope may stand an alpha.
  const rows = said === "xdrope" && fields.alpha != null ? "dynamic" : "default";
  const ropeType = said === "mrope" || said === "xdrope" ? rows : said;
  const read = model.row?.ropeTypes ?? Object.keys(SCHEMAS);
  if (typeof ropeType !== "string" || !isRopeType(ropeType) || !read.includes(ropeType))
    throw badField(model, `${where}.rope_type`, ropeType, `one of ${read.join(", ")}`);
  const known = [...COMMON, ...Object.keys(SCHEMAS[ropeType].shape)];
  const unread = Object.keys(fields).filter((name) => !known.includes(name) && fields[name] !== null);
  const remarks = unread.map(
    (name) => `${where}.${name} is not read: rope_type ${ropeType} has no use for it`,
  );
  const scalings = scalingsOf(ropeType, model, stated, (remark) => remarks.push(remark));
  return { ropeType, scalings, remarks };
}

function isRopeType(name: string): name is RopeType {
  return Object.hasOwn(SCHEMAS, name);
}

type Note = (remark: string) => void;

function scalingsOf(
  ropeType: RopeType,
  model: TextModel,
  stated: Stated,
  note: Note,
): ReadScaling["scalings"] {
  const { name: where, fields, around } = stated;
  const parse = <T extends RopeType>(type: T) => checked(SCHEMAS[type], fields, model, `${where}.`);
  switch (ropeType) {
    case "default":
      return [{ scaling: undefined }];
    case "linear":
      return [{ scaling: { type: "linear", factor: parse("linear").factor } }];
    case "dynamic":
      return dynamic(model, where, parse("dynamic"), note);
    case "yarn": {
      const read = parse("yarn");
      const original = originalLength(model, stated, note);
      if (around !== undefined && fields.truncate !== undefined && fields.truncate !== true)
        note(`${where}.truncate is not read: transformers 5.18.0 looks for it beside the layer types`);
      if (read.mscale_all_dim)
        note(
          "mscale_all_dim: code like DeepSeek's also multiplies the softmax scale by it, which no table does",
        );
      const truncate = around === undefined ? read.truncate : truncateOf(model, around, where);
      const scaling: RopeScaling = {
        type: "yarn",
        factor: read.factor ?? longest(model, where) / original,
        originalMaxPositionEmbeddings: original,
        betaFast: read.beta_fast ?? undefined,
        betaSlow: read.beta_slow ?? undefined,
        // Null counts as false in Python.
        truncate: truncate === null ? false : truncate,
        attentionFactor: read.attention_factor ?? undefined,
        mscale: read.mscale ?? undefined,
        mscaleAllDim: read.mscale_all_dim ?? undefined,
      };
      return [{ scaling }];
    }
    case "llama3": {
      const read = parse("llama3");
      const scaling: RopeScaling = {
        type: "llama3",
        factor: read.factor,
        lowFreqFactor: read.low_freq_factor,
        highFreqFactor: read.high_freq_factor,
        originalMaxPositionEmbeddings: originalLength(model, stated, note),
      };
      return [{ scaling }];
    }
    case "longrope":
      return longrope(model, parse("longrope"), originalLength(model, stated, note));
    case "proportional": {
      const { partial_rotary_factor, factor } = parse("proportional");
      const beside = model.extra("partial_rotary_factor");
      const partialRotaryFactor = partial_rotary_factor ?? (typeof beside === "number" ? beside : 1);
      return [{ scaling: { type: "proportional", partialRotaryFactor, factor: factor ?? undefined } }];
    }
    default:
      return ropeType satisfies never;
  }
}

function dynamic(model: TextModel, where: string, read: z.infer<typeof SCHEMAS.dynamic>, note: Note) {
  const { alpha, factor } = read;
  const { row } = model;
  // HunYuan's scaling does not depend on a length.
  if (typeof alpha === "number" && (row === undefined || row.alpha))
    return [{ scaling: { type: "alpha", alpha } as const }];
  if (typeof factor !== "number") throw badField(model, `${where}.factor`, factor, "a positive number");
  if (typeof alpha === "number") note(`${where}.alpha is not read: ${row?.types[0]} has no use for it`);
  note(
    "the model makes its table anew as a sequence grows past max_position_embeddings: a table is for one `length`, in tokens",
  );
  const length = longest(model, where);
  const scaling = { type: "dynamic", factor, maxPositionEmbeddings: length, length } as const;
  return [{ use: `sequences of up to ${length} tokens`, scaling }];
}

function longrope(model: TextModel, read: z.infer<typeof SCHEMAS.longrope>, original: number) {
  const longest = model.text.max_position_embeddings ?? undefined;
  const scaling: Scaling<"longrope"> = {
    type: "longrope",
    shortFactor: read.short_factor,
    longFactor: read.long_factor,
    originalMaxPositionEmbeddings: original,
    factor: read.factor ?? undefined,
    maxPositionEmbeddings: longest,
    attentionFactor: read.attention_factor ?? undefined,
  };
  const length = Math.max(longest ?? 0, original + 1);
  return [
    { use: `batches of up to ${original} tokens a sequence`, scaling },
    { use: "longer ones", scaling: { ...scaling, length } },
  ];
}

/** The original context length. Outside of the parameters it has priority, unless these are by layer type. */
function originalLength(model: TextModel, { name, fields, around }: Stated, note: Note): number {
  const beside = around === undefined ? model.text.original_max_position_embeddings : undefined;
  const said = beside ?? fields.original_max_position_embeddings;
  if (typeof said === "number") return said;
  const field = `${name}.original_max_position_embeddings`;
  note(`${field} is left out: max_position_embeddings stands for it, as in transformers`);
  return longest(model, name);
}

/** `truncate` of parameters by layer type. transformers 5.18.0 reads it beside the types. */
function truncateOf(model: TextModel, around: Fields, where: string): boolean | null | undefined {
  const { truncate } = around;
  if (truncate === undefined || truncate === null || typeof truncate === "boolean") return truncate;
  throw badField(model, `${where.replace(/\.[^.]*$/, "")}.truncate`, truncate, "true or false");
}

function longest({ path, prefix, text }: TextModel, where: string): number {
  if (typeof text.max_position_embeddings === "number") return text.max_position_embeddings;
  const message = `${quoted(path)}: ${prefix}${where} needs ${prefix}max_position_embeddings, which is missing`;
  throw userError("bad-model-config", message, "add it to the config, in tokens");
}
