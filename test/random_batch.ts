/**
 * Random calls of a kernel, for fast-check.
 *
 * Out: arbitraries. They cover what a call allows: heads and tokens in either order, with gaps, in place and not; positions
 * of 32 and 64 bits; every scaling.
 */
import * as fc from "fast-check";
import type { Batch, Place, Region } from "../runtime/batch.js";
import { VERIFY_POSITIONS } from "../runtime/batches.js";
import type { Counts } from "../runtime/made_call.js";
import type { ManifestKernel } from "../runtime/manifest.js";
import { type RopeParameters, ropeTable } from "../runtime/rope_table.js";

const gap = fc.integer({ min: 0, max: 3 });
const side = fc.record({ isHeadsFirst: fc.boolean(), innerGap: gap, outerGap: gap });

/** How a region is laid out; gaps count vectors of the kernel. Rows hold q and k of a token, blocks all of one of them. */
const shape = fc.record({
  hasRows: fc.boolean(),
  isKFirst: fc.boolean(),
  q: side,
  k: side,
  middleGap: gap,
  guard: gap,
});
type Arbitrated<A> = A extends fc.Arbitrary<infer T> ? T : never;

function regionOf(
  { point: { headDim }, vectorElements }: ManifestKernel,
  { numTokens, numQHeads, numKHeads, numVHeads = 0 }: Counts,
  { hasRows, isKFirst, q, k, middleGap, guard }: Arbitrated<typeof shape>,
): Region {
  const elements = (vectors: number) => vectors * vectorElements;
  /** The heads of one side by themselves, and the elements from the first to behind the last. */
  const block = (heads: number, { isHeadsFirst, innerGap, outerGap }: Arbitrated<typeof side>) => {
    const step = headDim + elements(innerGap);
    const outer = (inner: number) => Math.max(1, inner) * step + elements(outerGap);
    const [tokenStride, headStride] = isHeadsFirst ? [step, outer(numTokens)] : [outer(heads), step];
    return { tokenStride, headStride, reach: Math.max(tokenStride * numTokens, headStride * heads) };
  };
  const qBlock = block(numQHeads, hasRows ? { ...q, isHeadsFirst: false } : q);
  const kBlock = block(numKHeads, hasRows ? { ...k, isHeadsFirst: false } : k);
  const [first, second] = isKFirst ? [kBlock, qBlock] : [qBlock, kBlock];
  const rowStride = first.tokenStride + elements(middleGap) + second.tokenStride;
  const behindFirst = elements(middleGap) + (hasRows ? first.tokenStride : first.reach);
  const place = ({ tokenStride, headStride }: typeof qBlock, isFirst: boolean): Place => ({
    offset: elements(guard) + (isFirst ? 0 : behindFirst),
    tokenStride: hasRows ? rowStride : tokenStride,
    headStride,
  });
  const places = { q: place(qBlock, !isKFirst), k: place(kBlock, isKFirst) };
  const end = ({ offset, tokenStride, headStride }: Place, heads: number) =>
    heads === 0 || numTokens === 0
      ? 0
      : offset + (heads - 1) * headStride + (numTokens - 1) * tokenStride + headDim;
  const behind = Math.max(end(places.q, numQHeads), end(places.k, numKHeads));
  // v lies behind both, with rows of its own.
  const { reach: _, ...vBlock } = block(numVHeads, { ...q, isHeadsFirst: false });
  const v = { ...vBlock, offset: Math.ceil(behind / vectorElements) * vectorElements + elements(middleGap) };
  return { ...places, v, length: Math.max(behind, end(v, numVHeads)) + elements(guard) };
}

const anyFactor = fc.double({ min: 1, max: 64, noNaN: true });
const anyLength = fc.integer({ min: 512, max: 262_144 });

function randomRope(rotaryDim: number): fc.Arbitrary<RopeParameters> {
  const pairs = rotaryDim / 2;
  const type = <T extends string>(name: T) => fc.constant(name);
  const attentionFactor = fc.double({ min: 0.5, max: 2, noNaN: true });
  const factors = fc.array(anyFactor, { minLength: pairs, maxLength: pairs });
  const scaling = fc.oneof(
    fc.constant(undefined),
    fc.record({ type: type("linear"), factor: anyFactor }),
    fc.record({ type: type("yarn"), factor: anyFactor, originalMaxPositionEmbeddings: anyLength }),
    fc.record({
      type: type("yarn"),
      factor: anyFactor,
      originalMaxPositionEmbeddings: anyLength,
      attentionFactor,
    }),
    fc.record({
      ...{ type: type("yarn-ramp"), factor: anyFactor, attentionFactor },
      ...{
        low: fc.integer({ min: 0, max: pairs }),
        high: fc.integer({ min: pairs + 1, max: 2 * pairs + 1 }),
      },
    }),
    fc.record({
      ...{ type: type("llama3"), factor: anyFactor, originalMaxPositionEmbeddings: anyLength },
      ...{ lowFreqFactor: fc.constant(1), highFreqFactor: fc.constant(4) },
    }),
    fc.record({
      ...{ type: type("longrope"), shortFactor: factors, longFactor: factors },
      ...{ originalMaxPositionEmbeddings: anyLength, length: anyLength, attentionFactor },
    }),
    fc.record({ type: type("proportional"), partialRotaryFactor: fc.constantFrom(0.25, 0.5, 1) }),
    // The exponent d / (d - 2) needs more than one pair.
    ...(pairs < 2
      ? []
      : [
          fc.record({ type: type("alpha"), alpha: anyFactor }),
          fc.record({
            type: type("dynamic"),
            factor: anyFactor,
            maxPositionEmbeddings: anyLength,
            length: anyLength,
          }),
        ]),
  );
  const base = fc.double({ min: 2, max: 8, noNaN: true }).map((power) => 10 ** power);
  return fc.record({ base, rotaryDim: fc.constant(rotaryDim), scaling });
}

/** Up to 2⁴¹: farther out the table's last bit shows (2⁻⁶⁵ of a turn for each position). */
const POSITION_LIMIT = 2n ** 41n;

function randomPositions(numTokens: number): fc.Arbitrary<Int32Array | BigInt64Array> {
  const narrow = fc.oneof(
    fc.constantFrom(...VERIFY_POSITIONS),
    fc.integer({ min: 0, max: 131_072 }),
    fc.integer(),
  );
  const wide = fc.bigInt({ min: -POSITION_LIMIT, max: POSITION_LIMIT });
  const length = { minLength: numTokens, maxLength: numTokens };
  return fc.oneof(
    fc.array(narrow, length).map((positions) => Int32Array.from(positions)),
    fc.array(wide, length).map((positions) => BigInt64Array.from(positions)),
  );
}

const randomCounts = fc.record({
  numTokens: fc.oneof(fc.constantFrom(0, 1, 2), fc.integer({ min: 1, max: 40 })),
  numQHeads: fc.oneof(fc.constantFrom(0, 1), fc.integer({ min: 1, max: 24 })),
  numKHeads: fc.oneof(fc.constantFrom(0, 1), fc.integer({ min: 1, max: 9 })),
  numVHeads: fc.oneof(fc.constantFrom(0, 1), fc.integer({ min: 1, max: 5 })),
});

export function randomBatch(facts: ManifestKernel): fc.Arbitrary<Batch> {
  return randomCounts.chain((counts) =>
    fc
      .record({
        source: shape.map((given) => regionOf(facts, counts, given)),
        target: fc.option(
          shape.map((given) => regionOf(facts, counts, given)),
          { nil: undefined },
        ),
        positions: randomPositions(counts.numTokens),
        rope: randomRope(facts.pairing?.rotaryDim ?? 2),
        eps: fc.double({ min: -12, max: 0, noNaN: true }).map((power) => 10 ** power),
        weightForEachHead: fc.boolean(),
        isDependent: fc.boolean(),
      })
      .map(({ rope, target, ...rest }) => ({
        ...{ name: "random", ...counts, ...rest, rope: ropeTable(rope) },
        ...(target === undefined ? {} : { target }),
      })),
  );
}
