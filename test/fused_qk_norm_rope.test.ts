/** The op under sgl_kernel's argument list: each argument against the oracle, and what is refused. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Accuracy } from "../runtime/accuracy.js";
import { decode } from "../runtime/dtype.js";
import { fusedQkNormRope } from "../runtime/fused_qk_norm_rope.js";
import type { ConfigPoint } from "../runtime/manifest.js";
import { open } from "../runtime/open.js";
import type { Library } from "../runtime/open_library.js";
import { angleAt, oracleHead } from "../runtime/oracle.js";
import { randomBits, randomNumbers } from "../runtime/random.js";
import { buildFixture, buildFolder } from "./fixture.js";

const EPS = 1e-5;
const BASE = 5e5;
const POSITIONS = [0, 3, 4097, 131_072];
const HEADS = { q: 3, k: 2, v: 2 };

let library: Library;
beforeAll(async () => {
  await buildFixture("geometries", "cpu");
  library = await open({ target: "cpu", path: buildFolder("geometries") });
});
afterAll(() => library?.close());

interface Case {
  readonly point: ConfigPoint;
  readonly factor: number;
  readonly low: number;
  readonly high: number;
  readonly attentionFactor: number;
  /** Left out, it is head_dim. */
  readonly rotaryDim?: number | null;
}

/** inv_freq as the SGLang op forms it: a ramp from index low to high between the frequency and its factor-th. */
function frequencies({ point: { rotaryDim }, factor, low, high }: Case): Float64Array {
  return Float64Array.from({ length: rotaryDim / 2 }, (_, i) => {
    const plain = BASE ** ((-2 * i) / rotaryDim);
    if (factor === 1) return plain;
    const t = Math.min(1, Math.max(0, (i - low) / (high - low)));
    return plain * (1 - t) + (plain / factor) * t;
  });
}

async function run(given: Case): Promise<Accuracy> {
  const { point, factor, low, high, attentionFactor } = given;
  const { headDim, dtype, rope } = point;
  const random = randomNumbers(9);
  const row = (HEADS.q + HEADS.k + HEADS.v) * headDim;
  const before = randomBits(dtype, POSITIONS.length * row, random);
  const weights = [randomBits(dtype, headDim, random), randomBits(dtype, headDim, random)] as const;
  using qkv = library.upload(dtype, before);
  using qWeight = library.upload(dtype, weights[0]);
  using kWeight = library.upload(dtype, weights[1]);
  using positions = library.upload("int32", Int32Array.from(POSITIONS));
  await fusedQkNormRope(
    ...([library, qkv, HEADS.q, HEADS.k, HEADS.v, headDim, EPS, qWeight, kWeight] as const),
    ...([BASE, rope === "neox", positions, factor, low, high, attentionFactor] as const),
    ...("rotaryDim" in given ? [given.rotaryDim] : []),
  );
  const after = qkv.read(new Uint16Array(before.length));

  const numbers = (bits: Uint16Array) => Float64Array.from(bits, (value) => decode(dtype, value));
  const stages = library.manifest.op.stages;
  const accuracy = new Accuracy(dtype);
  POSITIONS.forEach((position, token) => {
    const angle = angleAt(frequencies(given), position, attentionFactor);
    for (let head = 0; head < HEADS.q + HEADS.k + HEADS.v; head++) {
      const at = token * row + head * headDim;
      const [x, y] = [before.slice(at, at + headDim), after.slice(at, at + headDim)];
      if (head >= HEADS.q + HEADS.k) expect(y).toEqual(x);
      else {
        const weight = numbers(weights[head < HEADS.q ? 0 : 1]);
        accuracy.addHead(numbers(y), oracleHead(stages, point, numbers(x), { weight, eps: EPS, angle }));
      }
    }
  });
  return accuracy;
}

describe("fusedQkNormRope is the op", () => {
  const point = { headDim: 96, rotaryDim: 96, rope: "neox", dtype: "bf16" } as const;
  const plain = { factor: 1, low: 0, high: 0, attentionFactor: 1 };
  test.each<[string, Case]>([
    ["without scaling", { point, ...plain }],
    ["with low and high that factor 1 makes mean nothing", { point, ...plain, low: Number.NaN, high: 3 }],
    ["with YaRN", { point, factor: 8, low: 11, high: 30, attentionFactor: 1.2079441541679836 }],
    ["with a null rotary dim", { point, ...plain, rotaryDim: null }],
    ["interleaved", { point: { ...point, rope: "interleaved" }, ...plain, factor: 4, low: 2, high: 9 }],
    [
      "on part of a head, in f16",
      {
        point: { headDim: 128, rotaryDim: 64, rope: "neox", dtype: "f16" },
        ...plain,
        rotaryDim: 64,
      },
    ],
  ])("%s", async (_, given) => {
    expect((await run(given)).maxError).toBeLessThanOrEqual(1);
  });
});

describe("fusedQkNormRope refuses", () => {
  const good = () => ({
    qkv: library.allocate("bf16", 2 * 3 * 96) as ReturnType<Library["allocate"]>,
    weight: library.allocate("bf16", 96),
    positions: library.allocate("int32", 2),
    ...{ numQ: 1, headDim: 96, isNeox: true, base: BASE, factor: 1, rotaryDim: 96 },
  });
  const call = (change: Partial<ReturnType<typeof good>>) => {
    const given = { ...good(), ...change };
    const { qkv, weight, positions, numQ, headDim, isNeox, base, factor, rotaryDim } = given;
    return fusedQkNormRope(
      ...([library, qkv, numQ, 1, 1, headDim, EPS, weight, weight] as const),
      ...([base, isNeox, positions, factor, 0, 1, 1, rotaryDim] as const),
    );
  };

  test("nothing of a good call", async () => {
    await expect(call({})).resolves.toBeUndefined();
  });

  test.each<[string, string, () => Partial<ReturnType<typeof good>>]>([
    ["another number of heads than qkv holds", "qkv", () => ({ numQ: 2 })],
    ["a negative number of heads", "numHeadsQ", () => ({ numQ: -1 })],
    ["qkv of another type", "qkv", () => ({ qkv: library.allocate("int32", 2 * 3 * 96) })],
    ["qkv that is no buffer", "qkv", () => ({ qkv: new Uint16Array(576) as never })],
    ["positions that are no buffer", "positionIds", () => ({ positions: Int32Array.of(1, 2) as never })],
    ["isNeox that is no boolean", "isNeox", () => ({ isNeox: 1 as never })],
    ["a base of 0", "base", () => ({ base: 0 })],
    ["a base that JSON cannot hold", "base", () => ({ base: 10_000n as never })],
    ["a factor as text", "factor", () => ({ factor: "8" as never })],
    ["a factor that is NaN", "scaling.factor", () => ({ factor: Number.NaN })],
    ["weights of another head_dim", "q.weight", () => ({ weight: library.allocate("bf16", 64) })],
  ])("%s", async (_, field, change) => {
    await expect(call(change())).rejects.toMatchObject({ code: "invalid-argument" });
    await expect(call(change())).rejects.toThrow(`${field} is`);
  });

  test("a point that the library lacks, with what would add it", async () => {
    const change = { headDim: 88, rotaryDim: 22, qkv: library.allocate("bf16", 2 * 3 * 88) };
    await expect(call(change)).rejects.toMatchObject({ code: "kernel-not-found" });
    await expect(call(change)).rejects.toThrow("headDim: [88], rotaryDim: [22]");
  });
});

test("a table is uploaded once for each set of parameters, and old ones make room", async () => {
  using counted = await open({ target: "cpu", path: buildFolder("geometries") });
  const uploads: unknown[] = [];
  const upload = counted.uploadRope.bind(counted);
  counted.uploadRope = (table) => {
    const made = upload(table);
    uploads.push(made.turns);
    return made;
  };
  const weight = counted.upload("bf16", new Uint16Array(96));
  const qkv = counted.upload("bf16", new Uint16Array(2 * 96));
  const positions = counted.upload("int32", Int32Array.of(1));
  const call = (base: number) =>
    fusedQkNormRope(counted, qkv, 1, 1, 0, 96, EPS, weight, weight, base, true, positions, 1, 0, 0, 1);
  for (let i = 0; i < 3; i++) await call(1e4);
  expect(uploads).toHaveLength(1);
  for (let i = 1; i <= 20; i++) await call(1e4 + i);
  expect(uploads).toHaveLength(21);
  await call(1e4 + 20);
  expect(uploads).toHaveLength(21);
  await call(1e4);
  expect(uploads).toHaveLength(22);
});
