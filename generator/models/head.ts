/**
 * What a model does to each head: an op that ships, and the values of its axes.
 *
 * In: a config, the row of its type if there is one, and flags. Out: the op and values, or an error that names
 * everything that no op does, or else each flag that is still needed. Pure.
 */
import { AXES, type ConfigPoint, STORED_AXES } from "../../dsl/axes.js";
import type { Axis, AxisValue } from "../../dsl/axis.js";
import { isAt, type Values } from "../../dsl/points.js";
import { expressionOf } from "../../dsl/sides.js";
import { quoted, show, UserError, userError } from "../diagnostics.js";
import type { Op } from "../ir.js";
import { shippedOp } from "../op_file.js";
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
  /** One row of positions for models of several, because text has equal rows. */
  readonly textOnly?: boolean | undefined;
  /** Round where the model's own code does. */
  readonly ownRounding?: boolean | undefined;
}

export interface Head {
  readonly op: Op;
  /** The values of those axes that no config gives, unless they are the default. */
  readonly values: Values;
}

/** The heads that `--head` may say: the op of each, and the values without which the op does more. */
const HEADS: Readonly<Record<string, { readonly op: string; readonly values: Values }>> = {
  "rotate(norm(x))": { op: "qk_norm_rope", values: {} },
  "norm(rotate(x))": { op: "qk_rope_norm", values: {} },
  "rotate(x)": { op: "qk_norm_rope", values: { norm: "none" } },
};

/** The axes that must be said of a model that is not known: most models differ in them. The others have defaults. */
const MUST_BE_SAID = ["rope", "weight"];

/**
 * Flags may repeat what a row says. For a model without a row they must say what models differ in.
 * @throws UserError `unsupported-model`, `unknown-model-type`, `missing-model-fact`, `bad-model-config`, `bad-option`.
 */
export function headOf(config: ModelConfig, row: ModelType | undefined, flags: ModelFlags): Head {
  const { path } = config;
  requireOps(config, row, flags);
  const asked = flags.head === undefined ? undefined : parseHead(flags.head);
  const known = row === undefined ? undefined : headOfRow(config, row, flags);
  if (known !== undefined && row !== undefined) requireAgreement(row, known, flags);
  const values = known?.values ?? { ...flags.axes, ...asked?.values };
  if (known === undefined && asked !== undefined) requireAxes(asked, flags);
  const unsaid = known === undefined ? unsaidAxes(values) : [];
  const rest = restMissing(config, row, values, flags);
  const op = known?.op ?? (asked && shippedOp(asked.op));
  if (op !== undefined && unsaid.length === 0) {
    if (row === undefined) requireNormAgrees(config, values);
    if (rest.length > 0) {
      const message = `${quoted(path)} leaves facts out, and nothing is guessed`;
      throw userError("missing-model-fact", message, `add ${rest.join(" ")}`);
    }
    return { op, values: withRounding(config, row, { ...values, ...storedBy(flags) }, flags) };
  }
  const wanted = [
    ...(op === undefined ? ["--head EXPRESSION"] : []),
    ...unsaid.map((axis) => `--${flagOf(axis)} ${axis.kind === "enum" ? axis.values.join("|") : "N"}`),
  ];
  const { type, classes } = config;
  const of = classes.length === 0 ? "" : ` of ${classes.map(show).join(", ")}`;
  const what = type === undefined ? "has no model_type" : `model_type ${show(type)}${of} is not known`;
  const fix = `say what its attention does to q and k: ${[...wanted, ...rest].join(" ")}`;
  throw userError("unknown-model-type", `${quoted(path)}: ${what}`, fix);
}

/** Values without those that mean nothing beside the others. */
export function meaningful(values: Values): Values {
  let kept: Values = {};
  for (const axis of AXES) {
    const value = values[axis.name];
    if (value !== undefined && mayApply(axis, kept)) kept = { ...kept, [axis.name]: value };
  }
  return kept;
}

const DEFAULTS: Values = Object.fromEntries(AXES.map((axis) => [axis.name, axis.default]));

/** Whether an axis may apply. What is not known yet, such as the width of a head and its dtype, may meet a condition. */
function mayApply({ when = {} }: Axis, kept: Values): boolean {
  const known = { ...DEFAULTS, ...kept };
  return isAt(Object.fromEntries(Object.entries(when).filter(([name]) => known[name] !== undefined)), known);
}

function headOfRow(config: ModelConfig, row: ModelType, flags: ModelFlags): Head {
  const off: Values = isNormOff(config, row) ? { norm: "none" } : {};
  const rows: Values = flags.textOnly ? { positionAxes: undefined } : {};
  const values = meaningful({ ...row.axes, ...off, ...rows });
  // RoPE alone has no order.
  const name = values.norm === "none" ? undefined : row.op;
  return { op: shippedOp(name ?? "qk_norm_rope"), values };
}

/** An entry of `HEADS`. @throws UserError `bad-option` for any other text. */
function parseHead(text: string) {
  const head = HEADS[text.replaceAll(/\s+/g, "")];
  if (head !== undefined && Object.hasOwn(HEADS, text.replaceAll(/\s+/g, ""))) return head;
  const fix = `write one of ${Object.keys(HEADS).join(", ")}; other flags set the axes of its stages`;
  throw userError("bad-option", `--head is ${show(text)}, which no op does that ships`, fix);
}

/** Refuses a flag for an axis that the head lacks. */
function requireAxes({ values }: { readonly values: Values }, { head = "", axes }: ModelFlags): void {
  const all = { ...axes, ...values };
  const kept = meaningful(all);
  const lost = SAID_AXES.find(({ name }) => all[name] !== undefined && kept[name] === undefined);
  const other = SAID_AXES.find(
    ({ name }) => axes[name] !== undefined && values[name] !== undefined && axes[name] !== values[name],
  );
  const axis = other ?? lost;
  if (axis === undefined) return;
  const message = `--${flagOf(axis)} is ${axes[axis.name]}, and ${head.trim()} has no ${flagOf(axis)}`;
  throw userError("bad-option", message, "leave it out");
}

const unsaidAxes = (values: Values) =>
  SAID_AXES.filter(
    (axis) => MUST_BE_SAID.includes(axis.name) && values[axis.name] === undefined && mayApply(axis, values),
  );

/** Refuses a norm that the config of an unknown model denies. */
function requireNormAgrees({ prefix, fields }: ModelConfig, { norm }: Values): void {
  if (fields.use_qk_norm !== false || norm === "none") return;
  const message = `--head has a norm, and ${prefix}use_qk_norm of the config is false`;
  throw userError("bad-option", message, "take the norm out of it, or correct the config");
}

/** Refuses a flag that contradicts the row, or whose axis means nothing in it. */
function requireAgreement(row: ModelType, { op, values }: Head, flags: ModelFlags): void {
  const heads = Object.entries(HEADS).find(
    ([, head]) => head.op === op.name && (head.values.norm === "none") === (values.norm === "none"),
  );
  const text = heads?.[0] ?? expressionOf(op.stages.q ?? []);
  const asked = flags.head?.replaceAll(/\s+/g, "");
  const said: (readonly [flag: string, said: AxisValue | undefined, known: AxisValue | undefined])[] = [
    ["head", asked, text],
    ...SAID_AXES.filter(({ name }) => !STORED_AXES.includes(name)).map((axis) => {
      const known = mayApply(axis, values) ? (values[axis.name] ?? axis.default) : undefined;
      return [flagOf(axis), flags.axes[axis.name], known] as const;
    }),
  ];
  for (const [flag, value, known] of said) {
    if (value === undefined || value === known) continue;
    const fact = known === undefined ? `${text} has no ${flag}` : `${row.types[0]} has ${known}`;
    const message = `--${flag} is ${value}, and ${fact}: ${row.source}`;
    throw userError("bad-option", message, "leave it out: flags are for models that are not known");
  }
}

/** Where heads are stored. No model has its own. */
const storedBy = ({ axes }: ModelFlags): Values =>
  Object.fromEntries(
    STORED_AXES.filter((name) => axes[name] !== undefined).map((name) => [name, axes[name]]),
  );

/** The values, with the model's own rounding if it is asked for. */
function withRounding(
  { path, type }: ModelConfig,
  row: ModelType | undefined,
  values: Values,
  flags: ModelFlags,
): Values {
  if (!flags.ownRounding) return values;
  const own = row?.rounding;
  if (typeof own === "object") return meaningful({ ...values, ...own });
  const message = `${quoted(path)}: ${own ?? `it is not known where the own code of ${type ?? "this model"} rounds`}`;
  const fix = "leave --rounding out: the kernel computes in float32 and rounds once";
  throw userError("unsupported-model", message, fix);
}

/** Refuses a model that no op does, with every reason. */
function requireOps(config: ModelConfig, row: ModelType | undefined, { textOnly }: ModelFlags): void {
  const names = new Set([...(row?.lacks ?? []), ...lacksSeen(config, row)]);
  const lacks = [...names].map(lackNamed).filter(({ notForText }) => !(textOnly && notForText));
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
function lacksSeen(config: ModelConfig, row: ModelType | undefined): LackName[] {
  const objects = ropeObjects(config);
  const isMrope = objects.some(
    ({ mrope_section, type, rope_type }) =>
      mrope_section != null || type === "mrope" || rope_type === "mrope",
  );
  const isCrossed = objects.some(({ xdrope_section }) => xdrope_section != null);
  const own = config.fields.per_layer_config;
  const isMixed = isObject(own) && Object.keys(own).length > 0;
  return [
    ...(isMrope && row?.pairAxes === undefined ? ["mrope" as const] : []),
    ...(isCrossed ? ["crossed_axes" as const] : []),
    ...(isMixed ? ["per_layer_config" as const] : []),
  ];
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
function restMissing(
  config: ModelConfig,
  row: ModelType | undefined,
  { angles }: Values,
  flags: ModelFlags,
): string[] {
  const all = ropeObjects(config);
  const isSaid = (name: string) =>
    all.some((object) => object[name] != null) || row?.defaults?.[name] !== undefined;
  const stating = row === undefined ? ["partial_rotary_factor", "rotary_dim"] : (row.rotaryStatedBy ?? []);
  const needsRotary = stating.length > 0 && !stating.some(isSaid) && flags.rotaryDim === undefined;
  const hasBase =
    (angles ?? "table") !== "table" ||
    isSaid(row?.names?.rope_theta ?? "rope_theta") ||
    row?.defaults?.rope_parameters !== undefined ||
    flags.ropeTheta !== undefined;
  const hasDtype = flags.dtype !== undefined || dtypeField(config) !== undefined;
  return [
    ...(needsRotary ? ["--rotary-dim N"] : []),
    ...(hasBase ? [] : ["--rope-theta N"]),
    ...(hasDtype ? [] : ["--dtype bf16|f16"]),
  ];
}
