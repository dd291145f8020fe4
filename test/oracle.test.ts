/** The oracle against what the equations imply, and the accuracy rule against outputs that are wrong on purpose. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { angleAt } from "../dsl/angle.js";
import type { StageCall } from "../dsl/sides.js";
import { Accuracy } from "../generator/verify/accuracy.js";
import { oracleHead } from "../generator/verify/oracle.js";
import { decode, encode, ulp } from "../runtime/dtype.js";
import { ropeTable } from "../runtime/rope_table.js";

const NORM: StageCall = { name: "norm", args: {} };
const ROTATE: StageCall = { name: "rotate", args: {} };
const HEAD_DIM = 12;
const ROTARY_DIM = 8;
const elements = fc.double({ min: -8, max: 8, noNaN: true }).map((x) => x + 0); // no -0
const heads = fc.array(elements, { minLength: HEAD_DIM, maxLength: HEAD_DIM });
const positions = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const ropes = fc.constantFrom("neox" as const, "interleaved" as const);
const { invFreq } = ropeTable({ base: 10_000, rotaryDim: ROTARY_DIM });
const weight = Float64Array.from({ length: HEAD_DIM }, (_, i) => 1 + i / 10);

/** A head through stages, whose elements may be off by `error` at first. */
function through(
  stages: readonly StageCall[],
  x: readonly number[],
  { rope = "neox", position = 3, attentionFactor = 1, weighting = "plain" },
) {
  const point = { headDim: HEAD_DIM, rotaryDim: ROTARY_DIM, rope, dtype: "bf16", weight: weighting };
  const tensors = new Map([
    ["weight", weight],
    ["rope_table", invFreq],
    ["positions", Float64Array.of(position)],
  ]);
  return oracleHead(stages, point, Float64Array.from(x), {
    tensor: (name) => tensors.get(name) ?? new Float64Array(0),
    isGiven: (name) => tensors.has(name),
    number: (name) => (name === "eps" ? 1e-6 : attentionFactor),
    rounded: (value) => decode("bf16", encode("bf16", value)),
    ulp: (value) => ulp("bf16", value),
  });
}

function run(
  stages: StageCall[],
  x: number[],
  rope: "neox" | "interleaved",
  position: number,
  attentionFactor = 1,
) {
  return through(stages, x, { rope, position, attentionFactor }).y;
}

const pairOf = (rope: "neox" | "interleaved", i: number): [number, number] =>
  rope === "neox" ? [i, i + ROTARY_DIM / 2] : [2 * i, 2 * i + 1];

describe("the oracle", () => {
  test("norms to the weight's own mean square", () => {
    fc.assert(
      fc.property(heads, (x) => {
        const square = (values: Iterable<number>) =>
          [...values].reduce((sum, value) => sum + value * value, 0);
        const y = run([NORM], x, "neox", 0).map((value, i) => value / (weight[i] ?? 1));
        const before = square(x) / HEAD_DIM;
        expect(square(y) / HEAD_DIM).toBeCloseTo(before / (before + 1e-6), 12);
      }),
    );
  });

  test("multiplies by the weight, by one and the weight, or by nothing", () => {
    fc.assert(
      fc.property(heads, (x) => {
        const [plain, onePlus, none] = ["plain", "one_plus", "none"].map(
          (weighting) => through([NORM], x, { weighting }).y,
        );
        none?.forEach((value, i) => {
          expect(plain?.[i]).toBeCloseTo(value * (weight[i] ?? 0), 12);
          expect(onePlus?.[i]).toBeCloseTo(value * (1 + (weight[i] ?? 0)), 12);
        });
      }),
    );
  });

  test("takes an argument's value before the point's", () => {
    const fixed: StageCall = { name: "norm", args: { weight: "none" } };
    const x = Array.from({ length: HEAD_DIM }, (_, i) => i - 5);
    expect(through([fixed], x, {}).y).toEqual(through([NORM], x, { weighting: "none" }).y);
  });

  test("is the identity at position 0, keeps a pair's norm anywhere, and passes the rest through", () => {
    fc.assert(
      fc.property(heads, ropes, positions, (x, rope, position) => {
        expect(Array.from(run([ROTATE], x, rope, 0), (value) => value + 0)).toEqual(x);
        const y = run([ROTATE], x, rope, position);
        for (let i = 0; i < ROTARY_DIM / 2; i++) {
          const [first, second] = pairOf(rope, i);
          const before = Math.hypot(x[first] ?? 0, x[second] ?? 0);
          expect(Math.hypot(y[first] ?? 0, y[second] ?? 0)).toBeCloseTo(before, 9);
        }
        expect([...y.slice(ROTARY_DIM)]).toEqual(x.slice(ROTARY_DIM));
      }),
    );
  });

  test("turns by the sum of two positions when it turns twice, and scales by the attention factor", () => {
    fc.assert(
      fc.property(
        heads,
        ropes,
        fc.integer({ min: -1e6, max: 1e6 }),
        fc.integer({ min: -1e6, max: 1e6 }),
        (x, rope, p, q) => {
          const twice = run([ROTATE], [...run([ROTATE], x, rope, p, 1.5)], rope, q, 2);
          const once = run([ROTATE], x, rope, p + q, 3);
          for (let i = 0; i < ROTARY_DIM; i++) expect(twice[i]).toBeCloseTo(once[i] ?? Number.NaN, 7);
        },
      ),
    );
  });

  test("turns a unit vector by position times inverse frequency", () => {
    const x = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    expect(run([ROTATE], x, "neox", 3)[4]).toBeCloseTo(Math.sin(3), 12);
    expect(run([ROTATE], x, "interleaved", 3)[1]).toBeCloseTo(Math.sin(3), 12);
  });

  test("has no stage that the op language does not have", () => {
    expect(() => run([{ name: "softcap", args: {} }], [], "neox", 0)).toThrow("softcap");
  });
});

describe("the bounds of the stages", () => {
  const lists = {
    norm: [NORM],
    rotate: [ROTATE],
    both: [NORM, ROTATE],
    turned: [ROTATE, NORM],
    twice: [NORM, ROTATE, NORM],
  };

  test.each(Object.entries(lists))("%s: hold what errors of the stage in front grow to", (_, stages) => {
    const signs = fc.array(fc.constantFrom(-1, 1), { minLength: HEAD_DIM, maxLength: HEAD_DIM });
    const large = fc.double({ min: 0.25, max: 8, noNaN: true });
    const anyHead = fc.array(large, { minLength: HEAD_DIM, maxLength: HEAD_DIM });
    fc.assert(
      fc.property(anyHead, signs, ropes, positions, (x, sign, rope, position) => {
        // What comes in is off by a stage of its own, with bounds that are all used up.
        const before: StageCall[] = [{ name: "norm", args: { weight: "none" } }];
        const entering = through(before, x, {});
        const off = Array.from(entering.y, (value, i) => value + (sign[i] ?? 0) * (entering.error[i] ?? 0));
        const exact = through([...before, ...stages], x, { rope, position, attentionFactor: 1.5 });
        const own = through(stages, [...entering.y], { rope, position, attentionFactor: 1.5 });
        const shifted = through(stages, off, { rope, position, attentionFactor: 1.5 }).y;
        exact.y.forEach((value, i) => {
          const grown = (exact.error[i] ?? 0) - (own.error[i] ?? 0);
          expect(Math.abs((shifted[i] ?? 0) - value)).toBeLessThanOrEqual(grown * 1.0001 + 1e-12);
        });
      }),
    );
  });

  test("of the op that ships are those of one rounding of a pair: 2.8e-6 of the larger, times the factor", () => {
    fc.assert(
      fc.property(heads, ropes, positions, (x, rope, position) => {
        const { y } = through([NORM], x, {});
        const { error } = through([NORM, ROTATE], x, { rope, position, attentionFactor: 1.5 });
        for (let i = 0; i < ROTARY_DIM / 2; i++) {
          const larger = Math.max(...pairOf(rope, i).map((at) => Math.abs(y[at] ?? 0)));
          for (const at of pairOf(rope, i)) expect(error[at]).toBeLessThanOrEqual(2.8e-6 * 1.5 * larger);
        }
      }),
    );
  });
});

describe("angles", () => {
  /** sin of an exact product of a position and a float64, by reduction in integers of 2^-200. */
  function exactSine(position: bigint, frequency: number): number {
    const scale = 200n;
    const twoPi = 2n * piTimes2To(scale);
    const bits = new DataView(new ArrayBuffer(8));
    bits.setFloat64(0, frequency);
    const stored = bits.getBigUint64(0);
    const exponent = Number((stored >> 52n) & 0x7ffn) - 1075;
    const integer = (stored & 0xfffffffffffffn) | (1n << 52n);
    const product = position * integer * 2n ** (scale + BigInt(exponent));
    const rest = ((product % twoPi) + twoPi) % twoPi;
    return Math.sin(Number(rest >> 100n) / 2 ** 100);
  }

  test("are exact where a plain float64 product is not", () => {
    for (const position of [131071, 2 ** 31 - 1, 2 ** 40 + 12345, -(2 ** 31)]) {
      const { sines } = angleAt(invFreq, position);
      sines.forEach((value, i) => {
        expect(value).toBeCloseTo(exactSine(BigInt(position), invFreq[i] ?? 0), 12);
      });
    }
  });
});

function piTimes2To(bits: bigint): bigint {
  const one = 1n << (bits + 32n);
  const arctan = (n: bigint) => {
    let [term, sum, k, sign] = [one / n, one / n, 3n, -1n];
    while (term !== 0n) {
      term /= n * n;
      sum += (sign * term) / k;
      k += 2n;
      sign = -sign;
    }
    return sum;
  };
  return (4n * (4n * arctan(5n) - arctan(239n))) >> 32n;
}

describe("the accuracy rule", () => {
  const judge = (output: number, y: number, magnitude: number) => {
    const accuracy = new Accuracy("bf16");
    accuracy.add(output, y, magnitude);
    return accuracy.maxError;
  };

  test("lets one rounding pass, and no more", () => {
    for (const y of [1.003, 0.1234567, 777.7, -2.71]) {
      expect(judge(decode("bf16", encode("bf16", y)), y, 1e-6 * Math.abs(y))).toBeLessThanOrEqual(1);
      const wrong = decode("bf16", encode("bf16", y) + 1);
      expect(judge(wrong, y, 1e-6 * Math.abs(y))).toBeGreaterThan(0.9);
      expect(judge(decode("bf16", encode("bf16", y) + 2), y, 1e-6 * Math.abs(y))).toBeGreaterThan(2);
    }
  });

  test("allows for cancellation by the reference's own bound", () => {
    expect(judge(1e-6, 0, 2e-6)).toBeLessThanOrEqual(1);
    expect(judge(1e-5, 0, 2e-6)).toBeGreaterThan(1);
  });

  test("never passes a NaN, nor an infinity", () => {
    expect(judge(Number.NaN, 1, 1e-6)).toBe(Number.POSITIVE_INFINITY);
    expect(judge(Number.POSITIVE_INFINITY, 1, 1e-6)).toBe(Number.POSITIVE_INFINITY);
  });

  test("pools the relative error", () => {
    const accuracy = new Accuracy("f16");
    accuracy.add(1.1, 1, 1e-6);
    accuracy.add(2, 2, 1e-6);
    expect(accuracy.relError).toBeCloseTo(0.1 / Math.sqrt(5), 12);
    expect(accuracy.elements).toBe(2);
  });
});
