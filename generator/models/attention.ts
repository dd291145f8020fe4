/**
 * What a model's attention does to q and k, from the row of its type or from flags; whether the op can do it.
 *
 * In: a config, the row of its type where there is one, and flags. Out: every fact, or an error that names each that
 * the op cannot do, or else each flag that is still needed. Pure.
 */
import { AXES, type ConfigPoint, DTYPES } from "../../dsl/axes.js";
import { aliasOf } from "../../dsl/legality.js";
import { type Diagnostic, quoted, show, UserError, userError } from "../diagnostics.js";
import { badField, type Fields, isObject, type ModelConfig } from "./config_file.js";
import { FACT_NAMES, FACTS, type Facts, limitsOf, type OtherLimit } from "./facts.js";
import type { ModelType } from "./model_type.js";
import type { RopeFlags } from "./rope.js";

/** What the command line says of a model beside its config. */
export interface AttentionFlags extends RopeFlags {
  readonly facts: Partial<Facts>;
  readonly dtype?: ConfigPoint["dtype"] | undefined;
}

/** @throws UserError `unsupported-model`, `unknown-model-type`, `missing-model-fact`, `bad-model-config`, `bad-option`. */
export function factsOf(config: ModelConfig, row: ModelType | undefined, flags: AttentionFlags): Facts {
  const { path, type, fields, prefix } = config;
  const norm = flags.facts["qk-norm"] ?? "none";
  if (row === undefined && fields.use_qk_norm === false && norm !== "none") {
    const message = `--qk-norm is ${norm}, and ${prefix}use_qk_norm of the config is false`;
    throw userError("bad-option", message, "say --qk-norm none, or correct the config");
  }
  for (const name of FACT_NAMES) {
    const [said, known] = [flags.facts[name], row?.facts[name]];
    if (said === undefined || row === undefined || known === undefined || said === known) continue;
    const message = `--${name} is ${said}, and ${type} has ${known}: ${row.source}`;
    throw userError("bad-option", message, "leave it out: flags are for models that are not known");
  }
  const facts: Partial<Facts> = { ...flags.facts, ...row?.facts, ...switchedOff(config, row) };
  const limits = limitsOf(facts, [...(row?.also ?? []), ...limitsSeen(config)]);
  if (limits.length > 0) {
    const subject = `${quoted(path)}: the attention of ${type ?? "this model"}`;
    throw new UserError(
      limits.map(
        ({ reason, fix }): Diagnostic => ({
          code: "unsupported-model",
          message: `${subject} ${reason}`,
          fix,
        }),
      ),
    );
  }
  if (isComplete(facts)) {
    requireRest(config, row, flags);
    return facts;
  }
  throw unknownModel(config, facts, flags);
}

/** No norm at all, where a field of the config says so. */
function switchedOff({ path, prefix, fields }: ModelConfig, row: ModelType | undefined): Partial<Facts> {
  const name = row?.normSwitch;
  if (name === undefined) return {};
  const value = Object.hasOwn(fields, name) ? fields[name] : row?.defaults?.[name];
  if (value === undefined) {
    const message = `${quoted(path)}: ${prefix}${name} is missing, which says whether q and k are normed`;
    throw userError("missing-model-fact", message, `add "${name}": true or false to the config`);
  }
  if (typeof value !== "boolean") throw badField(path, `${prefix}${name}`, value, "true or false");
  return value ? {} : { "qk-norm": "none" };
}

/** Multi-axis positions show in the config of any model. */
function limitsSeen(config: ModelConfig): OtherLimit[] {
  const isMrope = ropeObjects(config).some(
    (object) =>
      object.mrope_section != null ||
      object.xdrope_section != null ||
      object.type === "mrope" ||
      object.rope_type === "mrope",
  );
  return isMrope ? ["mrope"] : [];
}

/** Every object of a config that may say something of RoPE. */
function ropeObjects({ fields }: ModelConfig): Fields[] {
  const parameters = [fields.rope_scaling, fields.rope_parameters].filter(isObject);
  return [fields, ...parameters, ...parameters.flatMap((object) => Object.values(object).filter(isObject))];
}

function isComplete(facts: Partial<Facts>): facts is Facts {
  return FACT_NAMES.every((name) => facts[name] !== undefined);
}

function unknownModel(config: ModelConfig, facts: Partial<Facts>, flags: AttentionFlags): UserError {
  const { path, type, classes } = config;
  const missing = FACT_NAMES.filter((name) => facts[name] === undefined);
  const wanted = [
    ...missing.map((name) => `--${name} ${FACTS[name].join("|")}`),
    ...restMissing(config, undefined, flags),
  ];
  const of = classes.length === 0 ? "" : ` of ${classes.map(show).join(", ")}`;
  const what = type === undefined ? "has no model_type" : `model_type ${show(type)}${of} is not known`;
  return userError(
    "unknown-model-type",
    `${quoted(path)}: ${what}`,
    `say what its attention does: ${wanted.join(" ")}`,
  );
}

/** Flags for what neither the config nor the model's row says. */
function restMissing(config: ModelConfig, row: ModelType | undefined, flags: AttentionFlags): string[] {
  const all = ropeObjects(config);
  const isSaid = (name: string) =>
    all.some((object) => object[name] != null) || row?.defaults?.[name] !== undefined;
  const stating = row === undefined ? ["partial_rotary_factor", "rotary_dim"] : (row.rotaryStatedBy ?? []);
  const needsRotary = stating.length > 0 && !stating.some(isSaid) && flags.rotaryDim === undefined;
  const hasBase =
    isSaid("rope_theta") || row?.defaults?.rope_parameters !== undefined || flags.ropeTheta !== undefined;
  const hasDtype = flags.dtype !== undefined || dtypeField(config) !== undefined;
  return [
    ...(needsRotary ? ["--rotary-dim N"] : []),
    ...(hasBase ? [] : ["--rope-theta N"]),
    ...(hasDtype ? [] : ["--dtype bf16|f16"]),
  ];
}

function requireRest(config: ModelConfig, row: ModelType | undefined, flags: AttentionFlags): void {
  const missing = restMissing(config, row, flags);
  if (missing.length === 0) return;
  const message = `${quoted(config.path)} does not say all of it, and nothing is guessed`;
  throw userError("missing-model-fact", message, `add ${missing.join(" ")}`);
}

const DTYPE = AXES.find(({ name }) => name === "dtype");

/** The dtype of the weights and of what runs through them; a text config's own goes first. */
function dtypeField({ fields, outer, prefix }: ModelConfig): { name: string; value: unknown } | undefined {
  const places = [
    ...["dtype", "torch_dtype"].map((name) => ({ name: `${prefix}${name}`, value: fields[name] })),
    ...["dtype", "torch_dtype"].map((name) => ({ name, value: outer[name] })),
  ];
  return places.find(({ value }) => value !== undefined && value !== null && value !== "auto");
}

export function dtypeOf(config: ModelConfig, flags: AttentionFlags): ConfigPoint["dtype"] {
  if (flags.dtype !== undefined) return flags.dtype;
  const { name, value } = dtypeField(config) ?? { name: "dtype", value: undefined };
  const alias = DTYPE && aliasOf(DTYPE, value);
  const dtype = DTYPES.find((name) => name === alias);
  if (dtype !== undefined) return dtype;
  const message = `${quoted(config.path)}: ${name} is ${show(value)}, and the kernels are for bfloat16 and float16`;
  throw userError(
    "missing-model-fact",
    message,
    "say what the model is run in with --dtype bf16 or --dtype f16",
  );
}
