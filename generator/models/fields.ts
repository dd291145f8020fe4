/**
 * The fields of a config that give the number, width and dtype of heads, with the model's own defaults.
 *
 * In: a config as written, and its row of `model_types`. Out: checked fields under their usual names, and remarks
 * on fields that the config leaves out. Pure.
 */
import { z } from "zod";
import { AXES, type ConfigPoint, DTYPES } from "../../dsl/axes.js";
import { aliasOf } from "../../dsl/legality.js";
import { quoted, show, UserError, userError } from "../diagnostics.js";
import { badField, type Fields, type ModelConfig } from "./config_file.js";
import type { Head } from "./head.js";
import type { ModelType } from "./model_type.js";

/** An optional field: its schema, and the same in words. Configs may write null for a field that they leave out. */
const maybe = <S extends z.ZodType>(schema: S, want: string) => schema.nullish().describe(want);
const whole = (most: number) => z.int().min(1).max(most);
const wholeText = (most: number) => `a whole number from 1 to ${most}`;
const maybeWhole = (most: number) => maybe(whole(most), wholeText(most));
const positive = maybe(z.number().positive(), "a positive number");
const object = maybe(z.record(z.string(), z.unknown()), "an object, or null");
const HEADS_MAX = 65_536;
const LAYERS_MAX = 10_000;

const TEXT = z.object({
  num_attention_heads: whole(HEADS_MAX).describe(wholeText(HEADS_MAX)),
  num_key_value_heads: maybeWhole(HEADS_MAX),
  head_dim: maybeWhole(HEADS_MAX),
  hidden_size: maybeWhole(2 ** 24),
  num_hidden_layers: maybeWhole(LAYERS_MAX),
  layer_types: maybe(z.array(z.string()).max(LAYERS_MAX), "a list with the type of each layer"),
  no_rope_layers: maybe(z.array(z.literal([0, 1])), "a list of 1 and 0, one for each layer"),
  rms_norm_eps: maybe(z.number().nonnegative(), "a number from 0"),
  max_position_embeddings: positive,
  original_max_position_embeddings: positive,
  partial_rotary_factor: maybe(z.number().positive().max(1), "a number above 0 and at most 1"),
  rope_theta: positive,
  rope_scaling: object,
  rope_parameters: object,
});

/** The fields whose defaults `rope` takes, since RoPE's parameters may hold them instead. */
const ROPE = ["rope_theta", "rope_parameters", "partial_rotary_factor"];

export interface TextModel extends ModelConfig {
  /** Undefined if the model type is not known. */
  readonly row: ModelType | undefined;
  readonly head: Head;
  /** The checked fields, named as configs name them. */
  readonly text: z.infer<typeof TEXT>;
  /** The value of a field that `text` lacks, or the model's default, which is then added to `taken`. */
  readonly extra: (name: string) => unknown;
  /** The defaults of the model's own code for fields that the config leaves out. */
  readonly taken: ReadonlyMap<string, unknown>;
}

/** @throws UserError `bad-model-config` for every field that is wrong. */
export function readTextModel(config: ModelConfig, row: ModelType | undefined, head: Head): TextModel {
  const { fields } = config;
  const taken = new Map<string, unknown>();
  const extra = (name: string) => {
    if (Object.hasOwn(fields, name)) return fields[name];
    const value = row?.defaults?.[name];
    if (value !== undefined && value !== null) taken.set(name, value);
    return value;
  };
  const nameOf = (name: string) => row?.names?.[name] ?? name;
  const said: Fields = Object.fromEntries(
    Object.keys(TEXT.shape).map((name) => [name, ROPE.includes(name) ? fields[name] : extra(nameOf(name))]),
  );
  const heads = headsByLayer(row, fields);
  const text = checked(TEXT, { ...said, ...heads }, config, "", nameOf);
  const eps = row?.eps === undefined ? {} : { rms_norm_eps: row.eps };
  return { ...config, row, head, text: { ...text, ...eps }, extra, taken };
}

/** The heads of the first layer and the number of layers, if a config lists the heads of each. `layers` reads the lists. */
function headsByLayer(row: ModelType | undefined, fields: Fields): Fields {
  const lists = Object.entries(row?.layers?.perLayer ?? {}).flatMap(([name, field]) => {
    const list = fields[field];
    return Array.isArray(list) ? [[name, list] as const] : [];
  });
  const first = lists.filter(([name]) => fields[name] === undefined).map(([name, list]) => [name, list[0]]);
  const [count] = lists.map(([, list]) => list.length);
  const counted = fields.num_hidden_layers === undefined && count !== undefined;
  return { ...Object.fromEntries(first), ...(counted ? { num_hidden_layers: count } : {}) };
}

/** The fields, checked by a schema. @throws UserError `bad-model-config` for every field that is wrong. */
export function checked<S extends z.ZodObject>(
  schema: S,
  fields: Fields,
  config: ModelConfig,
  before: string,
  nameOf = (name: string) => name,
): z.infer<S> {
  const read = schema.safeParse(fields);
  if (read.success) return read.data;
  const wrong = new Set(read.error.issues.map((issue) => String(issue.path[0])));
  throw new UserError(
    [...wrong].flatMap((name) => {
      const want = schema.shape[name] as z.ZodType | undefined;
      return badField(config, before + nameOf(name), fields[name], want?.description ?? "left out")
        .diagnostics;
    }),
  );
}

const DTYPE = AXES.find(({ name }) => name === "dtype");

/** The dtype of weights and activations. The text config's own has priority. */
export function dtypeField({
  fields,
  outer,
  prefix,
}: ModelConfig): { name: string; value: unknown } | undefined {
  const places = [
    ...["dtype", "torch_dtype"].map((name) => ({ name: `${prefix}${name}`, value: fields[name] })),
    ...["dtype", "torch_dtype"].map((name) => ({ name, value: outer[name] })),
  ];
  return places.find(({ value }) => value !== undefined && value !== null && value !== "auto");
}

/** @throws UserError `missing-model-fact` for a dtype without kernels. */
export function dtypeOf(config: ModelConfig, asked: ConfigPoint["dtype"] | undefined): ConfigPoint["dtype"] {
  if (asked !== undefined) return asked;
  const { name, value } = dtypeField(config) ?? { name: "dtype", value: undefined };
  const alias = DTYPE && aliasOf(DTYPE, value);
  const dtype = DTYPES.find((name) => name === alias);
  if (dtype !== undefined) return dtype;
  const message = `${quoted(config.path)}: ${name} is ${show(value)}, and the kernels are for bfloat16 and float16`;
  const fix = "name the dtype that the model runs in: --dtype bf16 or --dtype f16";
  throw userError("missing-model-fact", message, fix);
}

/** A remark on the defaults taken so far. */
export function defaultsTaken({ taken }: TextModel): string[] {
  if (taken.size === 0) return [];
  const values = [...taken].map(([name, value]) => `${name} ${value}`).join(", ");
  return [`the config leaves out fields; these are the defaults of the model's own code: ${values}`];
}
