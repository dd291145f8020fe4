/**
 * What a model does to each head of q and k: stages of the language, and the values of their axes.
 *
 * In: a config, the row of its type if there is one, and flags. Out: the stages and values, or an error that names
 * everything that the language lacks, or else each flag that is still needed. Pure.
 */
import { type ConfigPoint, STAGES } from "../../dsl/axes.js";
import type { AxisValue } from "../../dsl/axis.js";
import { stageRejection } from "../../dsl/legality.js";
import type { Values } from "../../dsl/points.js";
import { expressionOf, openAxes, type StageCall } from "../../dsl/sides.js";
import { internalError, quoted, show, UserError, userError } from "../diagnostics.js";
import { closest } from "../load/closest.js";
import { badField, isObject, type ModelConfig } from "./config_file.js";
import { dtypeField } from "./fields.js";
import { type LackName, lackNamed } from "./lacks.js";
import { flagOf, type ModelType, SAID_AXES } from "./model_type.js";

/** What the command line adds to a config. */
export interface ModelFlags {
  /** Stages around `x`: `rotate(norm(x))`. */
  readonly head?: string | undefined;
  /** Values of `SAID_AXES`. */
  readonly axes: Values;
  readonly dtype?: ConfigPoint["dtype"] | undefined;
  readonly rotaryDim?: number | undefined;
  readonly ropeTheta?: number | undefined;
  /** Ranks of tensor parallelism. */
  readonly tp: number;
}

export interface Head {
  /** The innermost first. */
  readonly stages: readonly StageCall[];
  /** The values of those axes that no config gives, unless they are the default. */
  readonly values: Values;
}

/**
 * Flags may repeat what a row says. For a model without a row they must give every value: the language's defaults say nothing
 * about a model.
 * @throws UserError `unsupported-model`, `unknown-model-type`, `missing-model-fact`, `bad-model-config`, `bad-option`.
 */
export function headOf(config: ModelConfig, row: ModelType | undefined, flags: ModelFlags): Head {
  const { path, prefix, type, classes, fields } = config;
  const asked = flags.head === undefined ? undefined : parseHead(flags.head);
  const off = row !== undefined && isNormOff(config, row) ? "norm" : undefined;
  requireWords(config, row, off);
  const stages = row === undefined ? asked : stagesOf(row).filter(({ name }) => name !== off);
  if (row === undefined && fields.use_qk_norm === false && asked?.some(({ name }) => name === "norm")) {
    const message = `--head is ${expressionOf(asked)}, and ${prefix}use_qk_norm of the config is false`;
    throw userError("bad-option", message, "take the norm out of it, or correct the config");
  }
  const open = stages === undefined ? SAID_AXES : openOf(stages);
  const values: Values = row === undefined ? flags.axes : (row.axes ?? {});
  if (stages !== undefined) requireAgreement(row, stages, values, asked, flags.axes);
  const unsaid = open.filter((axis) => row === undefined && values[axis.name] === undefined);
  const rest = restMissing(config, row, flags);
  if (stages !== undefined && unsaid.length === 0) {
    if (rest.length === 0) return { stages, values };
    const message = `${quoted(path)} leaves facts out, and nothing is guessed`;
    throw userError("missing-model-fact", message, `add ${rest.join(" ")}`);
  }
  const wanted = [
    ...(stages === undefined ? ["--head EXPRESSION"] : []),
    ...unsaid.map((axis) => `--${flagOf(axis)} ${axis.kind === "enum" ? axis.values.join("|") : "N"}`),
  ];
  const of = classes.length === 0 ? "" : ` of ${classes.map(show).join(", ")}`;
  const what = type === undefined ? "has no model_type" : `model_type ${show(type)}${of} is not known`;
  const fix = `say what its attention does to q and k: ${[...wanted, ...rest].join(" ")}`;
  throw userError("unknown-model-type", `${quoted(path)}: ${what}`, fix);
}

/** The stages of an expression such as `rotate(norm(x))`. @throws UserError `bad-option` for any other text. */
export function parseHead(text: string): readonly StageCall[] {
  const [, opened = "", closed] = /^((?:\w+\()+)x(\)+)$/.exec(text.replaceAll(/\s+/g, "")) ?? [];
  const names = opened.split("(").slice(0, -1).reverse();
  const known = [...STAGES.keys()];
  const bad = (why: string, fix: string) => userError("bad-option", `--head is ${show(text)}${why}`, fix);
  if (closed?.length !== names.length) {
    const fix = `write stages around x, such as "rotate(norm(x))", of ${known.join(", ")}; other flags set their axes`;
    throw bad(", which is no expression", fix);
  }
  const unknown = names.find((name) => !STAGES.has(name));
  if (unknown !== undefined) {
    const near = closest(unknown, known);
    const fix = near === undefined ? `the stages are ${known.join(", ")}` : `did you mean ${near}?`;
    throw bad(`, and there is no stage ${unknown}`, fix);
  }
  const stages = names.map((name) => ({ name, args: {} }));
  const rejection = stageRejection({ q: stages, k: stages });
  if (rejection !== undefined) throw bad(`: ${rejection.reason}`, rejection.fix);
  if (!stages.some(isRotation))
    throw bad(", which does not rotate", "write the op and its entry into the config yourself");
  return stages;
}

/** Whether a stage reads the table that `import` makes. */
export const isRotation = ({ name }: StageCall): boolean =>
  STAGES.get(name)?.inputs.some((input) => input.name === "rope_table") === true;

const openOf = (stages: readonly StageCall[]) => {
  const open = openAxes({ q: stages });
  return SAID_AXES.filter((axis) => open.includes(axis));
};

function stagesOf({ head, types }: ModelType): Head["stages"] {
  if (head === undefined) throw internalError("models", `${types[0]} has no head`);
  return parseHead(head);
}

/** Refuses a flag that contradicts the row, or whose axis the stages lack. */
function requireAgreement(
  row: ModelType | undefined,
  stages: Head["stages"],
  values: Values,
  asked: Head["stages"] | undefined,
  axes: Values,
): void {
  const text = expressionOf(stages);
  const known = openOf(stages).map((axis) => [axis.name, values[axis.name] ?? axis.default] as const);
  const said: (readonly [flag: string, said: AxisValue | undefined, known: AxisValue | undefined])[] = [
    ["head", asked && expressionOf(asked), text],
    ...SAID_AXES.map((axis) => [flagOf(axis), axes[axis.name], new Map(known).get(axis.name)] as const),
  ];
  for (const [flag, value, known] of said) {
    if (value === undefined || value === known) continue;
    const fact = row && known !== undefined ? `${row.types[0]} has ${known}` : `${text} has no ${flag}`;
    const message = `--${flag} is ${value}, and ${fact}${row === undefined ? "" : `: ${row.source}`}`;
    throw userError("bad-option", message, "leave it out: flags are for models that are not known");
  }
}

/** Refuses a model that the language has no stage for, with every reason. A stage that is off needs none. */
function requireWords(config: ModelConfig, row: ModelType | undefined, off: string | undefined): void {
  const names = new Set([...(row?.lacks ?? []), ...lacksSeen(config)]);
  const lacks = [...names].map(lackNamed).filter(({ of }) => of === undefined || of !== off);
  if (lacks.length === 0) return;
  const subject = `${quoted(config.path)}: the attention of ${config.type ?? "this model"}`;
  // One reason's alternative does not help against another reason.
  const instead = lacks.length === 1 ? lacks[0]?.instead : undefined;
  const fix = instead ?? "leave its norm and RoPE to the model's own code";
  throw new UserError(
    lacks.map(({ reason }) => ({ code: "unsupported-model", message: `${subject} ${reason}`, fix })),
  );
}

/** Lacks that the config's own fields show, whatever its model type. */
function lacksSeen(config: ModelConfig): LackName[] {
  const isMrope = ropeObjects(config).some(
    ({ mrope_section, xdrope_section, type, rope_type }) =>
      mrope_section != null || xdrope_section != null || type === "mrope" || rope_type === "mrope",
  );
  const own = config.fields.per_layer_config;
  const isMixed = isObject(own) && Object.keys(own).length > 0;
  return [...(isMrope ? ["mrope" as const] : []), ...(isMixed ? ["per_layer_config" as const] : [])];
}

function isNormOff(config: ModelConfig, row: ModelType): boolean {
  const { path, prefix, fields } = config;
  const name = row.normSwitch;
  if (name === undefined) return false;
  const value = Object.hasOwn(fields, name) ? fields[name] : row.defaults?.[name];
  if (value === undefined) {
    const message = `${quoted(path)}: ${prefix}${name} is missing, which says whether q and k are normed`;
    throw userError("missing-model-fact", message, `add "${name}": true or false to the config`);
  }
  if (typeof value !== "boolean") throw badField(config, name, value, "true or false");
  return !value;
}

/** Every object of a config that may hold parameters of RoPE. */
function ropeObjects({ fields }: ModelConfig) {
  const parameters = [fields.rope_scaling, fields.rope_parameters].filter(isObject);
  return [fields, ...parameters, ...parameters.flatMap((object) => Object.values(object).filter(isObject))];
}

/** The other flags that are needed, because neither the config nor the row has their values. */
function restMissing(config: ModelConfig, row: ModelType | undefined, flags: ModelFlags): string[] {
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
