/**
 * RoPE scalings → inverse frequencies.
 *
 * In: base, rotary dim and a scaling. Out: float64 inverse frequencies in radians per position, and the factor of
 * cosine and sine, by the formulas of `rope_scalings`; or an error that names the parameter. Pure.
 */
import { invalidArgument, requireFields, unfitArgument } from "./errors.js";
import { type ParameterRule, type RopeScaling, SCALINGS, type ScalingRow } from "./rope_scalings.js";

export interface ScaledFrequencies {
  readonly invFreq: Float64Array;
  readonly attentionFactor: number;
}

type Values = Readonly<Record<string, number>>;

/** @throws NormropeError `invalid-argument`, naming the parameter. */
export function scaledFrequencies(
  base: number,
  rotaryDim: number,
  scaling: RopeScaling | undefined,
): ScaledFrequencies {
  const row = scaling === undefined ? UNSCALED : rowOf(scaling.type);
  if (scaling !== undefined) requireFields("scaling", scaling, ["type", ...Object.keys(row.parameters)]);
  const parametersAt = parametersOf(row, rotaryDim, scaling ?? {});
  if (scaling !== undefined) requirePossible(row, { base, rotaryDim }, scaling);
  const given = (i: number): Values & Parameters<ScalingRow["frequency"]>[0] => ({
    ...parametersAt(i),
    ...{ i, plain: base ** ((-2 * i) / rotaryDim), base, rotaryDim },
  });
  return {
    invFreq: Float64Array.from({ length: rotaryDim / 2 }, (_, i) => row.frequency(given(i))),
    attentionFactor: row.attentionFactor?.(given(0)) ?? 1,
  };
}

const UNSCALED: ScalingRow = { parameters: {}, frequency: ({ plain }) => plain };

function rowOf(type: unknown): ScalingRow {
  const rows: Readonly<Record<string, ScalingRow>> = SCALINGS;
  const row = typeof type === "string" && Object.hasOwn(rows, type) ? rows[type] : undefined;
  if (row !== undefined) return row;
  throw invalidArgument("scaling.type", type, `one of ${Object.keys(rows).join(", ")}`);
}

function requirePossible({ oneOf, refuses = {} }: ScalingRow, values: Values, scaling: RopeScaling): void {
  for (const [name, refused] of Object.entries(refuses)) {
    if (values[name] !== refused) continue;
    throw invalidArgument(name, refused, `other than ${refused} for scaling.type ${scaling.type}`);
  }
  if (oneOf === undefined || oneOf.some((name) => parameter(scaling, name) !== undefined)) return;
  throw unfitArgument(`scaling.${oneOf[0]}`, "undefined", `given, or one of ${oneOf.slice(1).join(", ")}`);
}

const parameter = (scaling: object, name: string): unknown => (scaling as Record<string, unknown>)[name];

/** The checked numbers for a frequency. */
function parametersOf({ parameters }: ScalingRow, rotaryDim: number, scaling: object): (i: number) => Values {
  const read = new Map<string, number | readonly number[]>();
  for (const [name, rule] of Object.entries(parameters)) {
    read.set(name, parameterOf(`scaling.${name}`, parameter(scaling, name), rule, rotaryDim / 2));
  }
  for (const [name, { atLeast }] of Object.entries(parameters)) {
    if (atLeast === undefined) continue;
    const [value, least] = [Number(read.get(name)), Number(read.get(atLeast))];
    if (value < least) throw invalidArgument(`scaling.${name}`, value, `at least ${atLeast}, ${least}`);
  }
  return (i) =>
    Object.fromEntries(
      Array.from(read, ([name, value]) => [name, typeof value === "number" ? value : (value[i] ?? 0)]),
    );
}

function parameterOf(
  field: string,
  value: unknown,
  rule: ParameterRule,
  count: number,
): number | readonly number[] {
  if (value === undefined && rule.default !== undefined) return rule.default;
  if (rule.isFlag) {
    if (typeof value === "boolean") return value ? 1 : 0;
    throw invalidArgument(field, value, "true or false");
  }
  if (!rule.isList) return numberOf(field, value, rule);
  if (!Array.isArray(value) || value.length !== count) {
    throw invalidArgument(field, value, `${count} numbers long`);
  }
  return value.map((element, i) => numberOf(`${field}[${i}]`, element, rule));
}

function numberOf(field: string, value: unknown, rule: ParameterRule): number {
  const { min = -Infinity, isMinExcluded = false, max = Infinity } = rule;
  const isNumber = typeof value === "number" && Number.isFinite(value);
  if (isNumber && (isMinExcluded ? value > min : value >= min) && value <= max) return value;
  throw invalidArgument(field, value, describeRule(rule));
}

/** The range of a number, in words. */
function describeRule({ min, isMinExcluded, max }: ParameterRule): string {
  if (min !== undefined && max !== undefined) return `a number from ${min} to ${max}`;
  if (min === undefined) return "a finite number";
  if (!isMinExcluded) return `a number from ${min}`;
  return min === 0 ? "a positive number" : `a number above ${min}`;
}
