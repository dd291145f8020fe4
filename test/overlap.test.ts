/** Which layouts of q and k the C interface takes, against the sets of elements that they cover. */
import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { loadLibrary, type NativeFunctions } from "../runtime/library.js";
import { argsOf, type Fields } from "./c_args.js";
import { cacheLibrary } from "./cache_library.js";

const HEAD_DIM = 16;
const UNIT = 4; // the kernel's vector: offsets and strides are multiples of it
const BASE = 1n << 20n; // nothing is read where arguments are only checked
const ELSEWHERE = 1n << 30n;

let c: NativeFunctions;
let kernel: number;
beforeAll(async () => {
  const entry = '{ headDim: [16], rope: ["neox"], dtype: ["bf16"] }';
  c = loadLibrary(await cacheLibrary("overlap", entry)).functions;
  kernel = c.find("qk_norm_rope__bf16_d16_r16_neox");
  expect(kernel).toBeGreaterThanOrEqual(0);
});

interface Side {
  readonly start: number;
  readonly tokenStride: number;
  readonly headStride: number;
}
interface Layout {
  readonly numTokens: number;
  readonly numQHeads: number;
  readonly numKHeads: number;
  readonly q: Side;
  readonly k: Side;
  /** Where q's result goes; in place where it is left out. */
  readonly out: Side | undefined;
  /** Where q's weight begins; elsewhere where it is left out. */
  readonly weight?: number | undefined;
}

const stride = fc.integer({ min: -20, max: 30 }).map((n) => n * UNIT);
const side = fc.record({
  start: fc.integer({ min: 0, max: 60 }).map((n) => n * UNIT),
  tokenStride: stride,
  headStride: stride,
});
const anyLayout: fc.Arbitrary<Layout> = fc.record({
  numTokens: fc.integer({ min: 1, max: 4 }),
  numQHeads: fc.integer({ min: 1, max: 4 }),
  numKHeads: fc.integer({ min: 1, max: 3 }),
  q: side,
  k: side,
  out: fc.option(side, { nil: undefined }),
  weight: fc.option(
    fc.integer({ min: 0, max: 60 }).map((n) => n * UNIT),
    { nil: undefined },
  ),
});

function isAccepted({ numTokens, numQHeads, numKHeads, q, k, out, weight }: Layout): boolean {
  const address = (at: Side) => BASE + BigInt(2 * at.start);
  const heads = (name: "q" | "k", numHeads: number, input: Side, output: Side): Fields => ({
    ...{ [`${name}.in`]: address(input), [`${name}.out`]: address(output), [`${name}.weight`]: ELSEWHERE },
    ...{ [`${name}.in_token_stride`]: input.tokenStride, [`${name}.in_head_stride`]: input.headStride },
    ...{ [`${name}.out_token_stride`]: output.tokenStride, [`${name}.out_head_stride`]: output.headStride },
    [`${name}.num_heads`]: numHeads,
  });
  const args = argsOf({
    ...{ ...heads("q", numQHeads, q, out ?? q), ...heads("k", numKHeads, k, k) },
    ...{ positions: ELSEWHERE, position_bits: 32, rope_table: ELSEWHERE },
    ...{ num_tokens: numTokens, attention_factor: 1 },
    ...(weight === undefined ? {} : { "q.weight": BASE + BigInt(2 * weight) }),
  });
  return c.check(kernel, args) === 0;
}

/** How often each element is covered. */
function cover(
  { start, tokenStride, headStride }: Side,
  numTokens: number,
  numHeads: number,
): Map<number, number> {
  const times = new Map<number, number>();
  for (let token = 0; token < numTokens; token++) {
    for (let head = 0; head < numHeads; head++) {
      for (let i = 0; i < HEAD_DIM; i++) {
        const element = start + token * tokenStride + head * headStride + i;
        times.set(element, (times.get(element) ?? 0) + 1);
      }
    }
  }
  return times;
}

function overlaps({ numTokens, numQHeads, numKHeads, q, k, out, weight }: Layout): boolean {
  const [read, kept] = [cover(q, numTokens, numQHeads), cover(k, numTokens, numKHeads)];
  const written = cover(out ?? q, numTokens, numQHeads);
  const twice = [...written.values(), ...kept.values()].some((times) => times > 1);
  const isInPlace =
    out === undefined ||
    (out.start === q.start &&
      (numTokens === 1 || out.tokenStride === q.tokenStride) &&
      (numQHeads === 1 || out.headStride === q.headStride));
  const meets = (a: Map<number, number>, b: Map<number, number>) =>
    [...a.keys()].some((element) => b.has(element));
  const weights =
    weight === undefined ? new Map() : cover({ start: weight, tokenStride: 0, headStride: 0 }, 1, 1);
  if (meets(weights, written) || meets(weights, kept)) return true;
  return twice || meets(written, kept) || (!isInPlace && (meets(written, read) || meets(kept, read)));
}

test("every layout that writes one head over another is refused", () => {
  let accepted = 0;
  const property = (layout: Layout) => {
    if (!isAccepted(layout)) return true;
    accepted += 1;
    return !overlaps(layout);
  };
  fc.assert(fc.property(anyLayout, property), { numRuns: 20_000, seed: 1 });
  expect(accepted).toBeGreaterThan(200);
});

test("rows of q, k and v in any order and with any gap are accepted, and so are separate tensors", () => {
  const gap = fc.integer({ min: 0, max: 3 }).map((n) => n * UNIT);
  const rows = fc
    .record({
      ...{ numTokens: fc.integer({ min: 1, max: 4 }), numQHeads: fc.integer({ min: 1, max: 4 }) },
      ...{ numKHeads: fc.integer({ min: 1, max: 3 }), between: gap, behind: gap, headGap: gap },
      ...{ kFirst: fc.boolean(), headsFirst: fc.boolean(), apart: fc.boolean() },
    })
    .map((given): Layout => {
      const { numTokens, numQHeads, numKHeads, between, behind, headGap, kFirst, headsFirst, apart } = given;
      const size = HEAD_DIM + headGap;
      const [first, second] = kFirst ? [numKHeads, numQHeads] : [numQHeads, numKHeads];
      const row = (first + second) * size + between + behind;
      const place = (isFirst: boolean): Side => {
        if (headsFirst) {
          const start = isFirst ? 0 : first * numTokens * size + between;
          return { start, tokenStride: size, headStride: numTokens * size };
        }
        return { start: isFirst ? 0 : first * size + between, tokenStride: row, headStride: size };
      };
      const [q, k] = [place(!kFirst), place(kFirst)];
      const far = { ...q, start: q.start + (first + second) * (numTokens + 1) * (size + row) };
      return { numTokens, numQHeads, numKHeads, q, k, out: apart ? far : undefined };
    });
  fc.assert(
    fc.property(rows, (layout) => isAccepted(layout) && !overlaps(layout)),
    { numRuns: 5_000, seed: 2 },
  );
});

// In heads: two of q and two of k, for three tokens.
test.each<[string, { q: Side; k: Side }]>([
  [
    "side by side",
    { q: { start: 0, tokenStride: 4, headStride: 1 }, k: { start: 2, tokenStride: 4, headStride: 1 } },
  ],
  [
    "head by head, with v between",
    { q: { start: 0, tokenStride: 6, headStride: 3 }, k: { start: 1, tokenStride: 6, headStride: 3 } },
  ],
  [
    "head by head, in padded rows",
    { q: { start: 0, tokenStride: 5, headStride: 2 }, k: { start: 1, tokenStride: 5, headStride: 2 } },
  ],
  [
    "heads first, token by token",
    { q: { start: 0, tokenStride: 2, headStride: 6 }, k: { start: 1, tokenStride: 2, headStride: 6 } },
  ],
  [
    "one behind the other, in rows of their own",
    { q: { start: 0, tokenStride: 2, headStride: 1 }, k: { start: 6, tokenStride: 3, headStride: 1 } },
  ],
])("q and k may lie %s", (_, { q, k }) => {
  const inElements = ({ start, tokenStride, headStride }: Side): Side => ({
    start: start * HEAD_DIM,
    tokenStride: tokenStride * HEAD_DIM,
    headStride: headStride * HEAD_DIM,
  });
  const counts = { numTokens: 3, numQHeads: 2, numKHeads: 2 };
  const layout: Layout = { ...counts, q: inElements(q), k: inElements(k), out: undefined };
  expect(overlaps(layout)).toBe(false);
  expect(isAccepted(layout)).toBe(true);
});
