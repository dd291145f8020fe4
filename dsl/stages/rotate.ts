/** `rotate`: rotary embedding. */
import { angleAt } from "../angle.js";
import { axis, multipleOf, oneOf } from "../axis.js";
import { defineStage, type ReferenceInputs } from "../stage.js";

/**
 * Float32's error relative to the larger of a pair: with the hardware's sine and cosine, and with those that a call gives.
 */
const ERROR = 2e-6;
const GIVEN_ERROR = 3e-7;

const ROTATES = { rotaryDim: multipleOf(2, { min: 2, max: 1024 }) };
const GIVEN = { ...ROTATES, angles: oneOf("cos_sin", "cos_sin_f32") };

/**
 * Rotary embedding of `rotaryDim` elements: each pair `(a, b)` becomes `(a cos - b sin, b cos + a sin)` with the pair's angle at
 * the token's position, times the attention factor. Source: Su et al. 2021, eq. 34; the attention factor is YaRN's (Peng et al.
 * 2023, section 3.4).
 */
export const rotate = defineStage({
  name: "rotate",
  pairing: ({ headDim, rope, rotaryDim, rotaryAt }) => ({
    ...{ rope, rotaryDim },
    start: rotaryAt === "trailing" ? headDim - rotaryDim : 0,
  }),
  axes: {
    /** Elements of a head that are rotated; the rest passes through. 0: nothing rotates. Default: `headDim`. */
    rotaryDim: axis(multipleOf(2, { min: 0, max: 1024 }), {
      ...{ tag: "r", within: "headDim", follows: "headDim" },
      isImplied: true,
    }),
    /** Which elements rotate together: NeoX `(i, i + rotaryDim/2)`, interleaved `(2i, 2i + 1)`. */
    rope: axis(oneOf("neox", "interleaved"), {
      aliases: { gptneox: "neox", rotatehalf: "neox", gptj: "interleaved" },
      when: ROTATES,
    }),
    /** Where the rotated elements are: at the start of the head, or at its end. */
    rotaryAt: axis(oneOf("leading", "trailing"), { default: "leading", when: ROTATES }),
    /**
     * Where angles come from. `table`: exact products of the RoPE table and positions. `cos_sin`: rows of cosines, then sines, of
     * the kernel's dtype, by position, or by token if there are no positions. `cos_sin_f32`: the same of float32.
     */
    angles: axis(oneOf("table", "cos_sin", "cos_sin_f32"), {
      default: "table",
      tags: { cos_sin: "cs16", cos_sin_f32: "cs32" },
      when: ROTATES,
      isImplied: true,
    }),
    /** Positions of a token: one for each axis of time and space. `pair_axes` says which axis turns a pair. */
    positionAxes: axis(multipleOf(1, { min: 1, max: 4 }), {
      ...{ default: 1, tag: "p", when: ROTATES },
      isImplied: true,
    }),
    /**
     * Where the rotation rounds to the kernel's dtype, as code of models does. `once`: nowhere, the kernel rounds its result.
     * `products`: each product and their sum, as in `q * cos + rotate_half(q) * sin` of 16-bit tensors. `sum`: the sum, as in the same with
     * `q.float()`.
     */
    ropeRounding: axis(oneOf("once", "products", "sum"), {
      default: "once",
      tags: { products: "rproducts", sum: "rsum" },
      when: ROTATES,
    }),
  },
  inputs: [
    { name: "positions", isOptional: { ...GIVEN, positionAxes: multipleOf(1, { min: 1, max: 1 }) } },
    { name: "pair_axes", when: { positionAxes: multipleOf(1, { min: 2, max: 4 }) } },
    { name: "rope_table", when: { angles: oneOf("table") } },
    { name: "attention_factor", when: { angles: oneOf("table") } },
    { name: "cos_sin", when: GIVEN, dtypes: { f32: { angles: oneOf("cos_sin_f32") } } },
  ],
  roundsAsModel: ({ ropeRounding }) => ropeRounding !== "once",
  parts: ({ angles, positionAxes, ropeRounding }) => ({
    angleSource: `${angles === "table" ? "table" : "cos_sin"}${positionAxes > 1 ? "_by_axis" : ""}`,
    rotation: ropeRounding,
  }),
  becomes: [{ when: { rotaryDim: multipleOf(2, { min: 0, max: 0 }) }, as: [] }],
  rules: [
    {
      rule: "trailing_is_whole",
      when: { rotaryAt: oneOf("trailing") },
      areEqual: ["rotaryDim", "headDim"],
      reason: "the trailing {rotaryDim} elements are the whole head",
    },
    {
      rule: "rounding_of_exact_angles",
      when: { ropeRounding: oneOf("products", "sum"), angles: oneOf("table") },
      reason:
        "ropeRounding {ropeRounding} needs the model's own cosine and sine: angles cos_sin or cos_sin_f32",
    },
    {
      rule: "products_of_other_dtype",
      when: { ropeRounding: oneOf("products"), angles: oneOf("cos_sin_f32") },
      reason: "ropeRounding products has cosine and sine in the kernel's dtype: angles cos_sin",
    },
  ],
  reference({ y: x, error }, { rotaryDim, rope, rotaryAt, angles, positionAxes, ropeRounding }, inputs) {
    const y = x.slice();
    const bound = error.slice();
    const half = rotaryDim / 2;
    const start = rotaryAt === "trailing" ? x.length - rotaryDim : 0;
    const factor = angles === "table" ? inputs.number("attention_factor") : 1;
    const angleOf = anglesOf(half, angles === "table", positionAxes, inputs);
    const f32 = Math.fround;
    const multiplied = (u: number, v: number) =>
      ropeRounding === "products" ? inputs.rounded(f32(u * v)) : ropeRounding === "sum" ? f32(u * v) : u * v;
    const added = (sum: number) => (ropeRounding === "once" ? sum : inputs.rounded(f32(sum)));
    const own = ropeRounding !== "once" ? 0 : angles === "table" ? ERROR : GIVEN_ERROR;
    for (let i = 0; i < half; i++) {
      const first = start + (rope === "interleaved" ? 2 * i : i);
      const second = first + (rope === "interleaved" ? 1 : half);
      const given = (i: number) =>
        ropeRounding === "products" ? inputs.rounded(x[i] ?? 0) : (x[i] ?? Number.NaN);
      const [a, b] = [given(first), given(second)];
      const [cosine, sine] = angleOf(i);
      y[first] = factor * added(multiplied(a, cosine) - multiplied(b, sine));
      y[second] = factor * added(multiplied(b, cosine) + multiplied(a, sine));
      const larger = own * Math.max(Math.abs(a), Math.abs(b));
      const turned = (near = 0, far = 0) => Math.abs(cosine) * near + Math.abs(sine) * far;
      // What came in with an error may round another way, here each time.
      const flips = (near = 0, far = 0) =>
        ropeRounding === "once" || near + far === 0 ? 0 : 3 * inputs.ulp(Math.max(Math.abs(a), Math.abs(b)));
      const errorOf = (near = 0, far = 0) =>
        Math.abs(factor) * (larger + turned(near, far)) + flips(near, far);
      bound[first] = errorOf(error[first], error[second]);
      bound[second] = errorOf(error[second], error[first]);
    }
    return { y, error: bound };
  },
});

/** Cosine and sine of each pair. */
function anglesOf(
  half: number,
  isTable: boolean,
  positionAxes: number,
  inputs: ReferenceInputs,
): (pair: number) => readonly [number, number] {
  const axes = positionAxes > 1 ? inputs.tensor("pair_axes") : new Float64Array(half);
  const axisOf = (pair: number) => axes[pair] ?? Number.NaN;
  if (!isTable) {
    const rows = inputs.tensor("cos_sin");
    return (pair) => {
      const at = axisOf(pair) * 2 * half + pair;
      return [rows[at] ?? Number.NaN, rows[at + half] ?? Number.NaN];
    };
  }
  const table = inputs.tensor("rope_table");
  const turned = Array.from(inputs.tensor("positions"), (position) => angleAt(table, position));
  return (pair) => {
    const { cosines, sines } = turned[axisOf(pair)] ?? {};
    return [cosines?.[pair] ?? Number.NaN, sines?.[pair] ?? Number.NaN];
  };
}
