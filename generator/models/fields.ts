/**
 * The fields of a config that say how wide and how many its heads are, checked, with the model's own defaults.
 *
 * In: a config as it is written, and its row of `model_types`. Out: typed fields under their usual names, and remarks
 * on what the config left out. Pure.
 */
import { z } from "zod";
import { UserError } from "../diagnostics.js";
import { badField, type Fields, type ModelConfig } from "./config_file.js";
import type { ModelType } from "./model_type.js";

const count = (most: number) => z.int().min(1).max(most);
const countText = (most: number) => `a whole number from 1 to ${most}`;
const HEADS_MAX = 65_536;
const LAYERS_MAX = 10_000;
const POSITIVE = z.number().positive();

/** Each field with what it must be, in words; null is what configs write for "not said". */
const SHAPE = {
  num_attention_heads: count(HEADS_MAX).describe(countText(HEADS_MAX)),
  num_key_value_heads: count(HEADS_MAX).nullish().describe(countText(HEADS_MAX)),
  head_dim: count(HEADS_MAX).nullish().describe(countText(HEADS_MAX)),
  hidden_size: count(2 ** 24)
    .nullish()
    .describe(countText(2 ** 24)),
  num_hidden_layers: count(LAYERS_MAX).nullish().describe(countText(LAYERS_MAX)),
  layer_types: z.array(z.string()).max(LAYERS_MAX).nullish().describe("a list with the type of each layer"),
  no_rope_layers: z
    .array(z.literal([0, 1]))
    .nullish()
    .describe("a list of 1 and 0, one for each layer"),
  rms_norm_eps: z.number().nonnegative().nullish().describe("a number from 0"),
  max_position_embeddings: POSITIVE.nullish().describe("a positive number"),
  original_max_position_embeddings: POSITIVE.nullish().describe("a positive number"),
  partial_rotary_factor: POSITIVE.max(1).nullish().describe("a number above 0 and at most 1"),
  rope_theta: POSITIVE.nullish().describe("a positive number"),
  rope_scaling: z.record(z.string(), z.unknown()).nullish().describe("an object, or null"),
  rope_parameters: z.record(z.string(), z.unknown()).nullish().describe("an object, or null"),
};

/** Of these a default is for `rope` to take, where the parameters do not say it. */
const ROPE = ["rope_theta", "rope_parameters", "partial_rotary_factor"];

const schema = z.object(SHAPE);

/** The checked fields, named as configs name them. */
export type TextFields = z.infer<typeof schema>;

export interface TextModel extends ModelConfig {
  /** Undefined where the model type is not known. */
  readonly row: ModelType | undefined;
  /** The checked fields. */
  readonly text: TextFields;
  /** A field that `text` has not, or its default, which is `taken` by that. */
  readonly extra: (name: string) => unknown;
  /** What the config leaves out, and the model's own code takes instead. */
  readonly taken: ReadonlyMap<string, unknown>;
}

/** @throws UserError `bad-model-config`, for every field that is wrong. */
export function readTextModel(config: ModelConfig, row: ModelType | undefined): TextModel {
  const { fields, path, prefix } = config;
  const taken = new Map<string, unknown>();
  const extra = (name: string) => {
    if (Object.hasOwn(fields, name)) return fields[name];
    const value = row?.defaults?.[name];
    if (value !== undefined && value !== null) taken.set(name, value);
    return value;
  };
  const nameOf = (name: string) => row?.names?.[name] ?? name;
  const said: Fields = Object.fromEntries(
    Object.keys(SHAPE).map((name) => [name, ROPE.includes(name) ? fields[name] : extra(nameOf(name))]),
  );
  const read = schema.safeParse(said);
  if (read.success) return { ...config, row, text: read.data, extra, taken };
  const wrong = new Set(read.error.issues.map(({ path: [name] }) => name as keyof typeof SHAPE));
  throw new UserError(
    [...wrong].flatMap(
      (name) =>
        badField(path, `${prefix}${nameOf(name)}`, said[name], SHAPE[name].description ?? "").diagnostics,
    ),
  );
}

/** A remark on the defaults that were taken so far. */
export function defaultsTaken({ taken }: TextModel): string[] {
  if (taken.size === 0) return [];
  const values = [...taken].map(([name, value]) => `${name} ${value}`).join(", ");
  return [`the config leaves out what is here as the model's own code takes it: ${values}`];
}
