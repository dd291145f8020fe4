/**
 * Random calls of a kernel, for fast-check.
 *
 * Out: arbitraries. They cover what a call allows: sides in any order, in rows together or apart; heads and tokens in either
 * order, with gaps, in place and not; positions of 32 and 64 bits; every scaling.
 */
import * as fc from "fast-check";
import { SIDES, type Side } from "../dsl/inputs.js";
import type { ManifestKernel } from "../dsl/manifest.js";
import { VERIFY_POSITIONS, withinRows } from "../generator/verify/batches.js";
import type { Batch, Region, StridedHeads } from "../generator/verify/made_batch.js";
import { type Counts, headsOf, needsOutput } from "../generator/verify/made_call.js";
import { type PagingOptions, pagingOf } from "../generator/verify/paging.js";
import { type RopeParameters, ropeTable } from "../runtime/rope_table.js";

const gap = fc.integer({ min: 0, max: 3 });
/** How the heads of a side lie: in the rows of the side before, in rows of its own, or heads first. */
const side = fc.record({
  ...{ joins: fc.boolean(), isHeadsFirst: fc.boolean() },
  ...{ innerGap: gap, outerGap: gap },
});

/** How a region is laid out; gaps count vectors of the kernel. */
const shape = fc.record({
  order: fc.shuffledSubarray([...SIDES], { minLength: SIDES.length }),
  ...{ q: side, k: side, v: side },
  middleGap: gap,
  guard: gap,
});
type Arbitrated<A> = A extends fc.Arbitrary<infer T> ? T : never;

function regionOf(
  { point: { headDim }, vectorElements }: ManifestKernel,
  counts: Counts,
  { order, middleGap, guard, ...sides }: Arbitrated<typeof shape>,
): Region {
  const { numTokens } = counts;
  const heads = headsOf(counts);
  const elements = (vectors: number) => vectors * vectorElements;
  const stepOf = (name: Side) => headDim + elements(sides[name].innerGap);
  /** So many heads, or tokens, of a side behind each other, and the gap behind them. */
  const widthOf = (name: Side, count: number) =>
    Math.max(1, count) * stepOf(name) + elements(sides[name].outerGap);
  const groups: Side[][] = [];
  for (const name of order) {
    const before = sides[name].joins ? groups.at(-1) : undefined;
    if (before === undefined) groups.push([name]);
    else before.push(name);
  }

  const places = new Map<Side, StridedHeads>();
  let end = elements(guard);
  for (const group of groups) {
    const rowStride = group.reduce((sum, name) => sum + widthOf(name, heads[name]), 0);
    let offset = end + (places.size === 0 ? 0 : elements(middleGap));
    for (const name of group) {
      const [tokenStride, headStride] =
        group.length === 1 && sides[name].isHeadsFirst
          ? [stepOf(name), widthOf(name, numTokens)]
          : [rowStride, stepOf(name)];
      places.set(name, { offset, tokenStride, headStride });
      const last = offset + (heads[name] - 1) * headStride + (numTokens - 1) * tokenStride;
      if (heads[name] > 0 && numTokens > 0) end = Math.max(end, last + headDim);
      offset += widthOf(name, heads[name]);
    }
  }
  return { ...(Object.fromEntries(places) as Record<Side, StridedHeads>), length: end + elements(guard) };
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

/** Rows of cosines and sines: of the tokens where they can be, or of any positions. */
function randomRows({ pairing, optionalInputs }: ManifestKernel, numTokens: number) {
  const { rotaryDim = 0 } = pairing ?? {};
  const rows = { rows: fc.integer({ min: 1, max: 50 }), rowGap: gap, isByToken: fc.boolean() };
  return fc.record(rows).map(({ rows, rowGap, isByToken }) => ({
    rowStride: rotaryDim + 4 * rowGap,
    ...(isByToken && optionalInputs.includes("positions")
      ? { rows: Math.max(1, numTokens), isByToken }
      : { rows, isByToken: false }),
  }));
}

/** Caches of every kind: gaps count vectors of the kernel. */
function randomPaging(entry: ManifestKernel, counts: Counts) {
  const options = {
    kind: fc.constantFrom("NHD", "packed", "pool"),
    blockSize: fc.integer({ min: 1, max: 9 }),
    gap: gap.map((vectors) => vectors * entry.vectorElements),
    hasInt64Slots: fc.boolean(),
    skipEvery: fc.integer({ min: 1, max: 6 }),
  };
  return fc.record(options).map((given) => pagingOf(entry, counts, given as PagingOptions));
}

const randomCounts = fc.record({
  numTokens: fc.oneof(fc.constantFrom(0, 1, 2), fc.integer({ min: 1, max: 40 })),
  numQHeads: fc.oneof(fc.constantFrom(0, 1), fc.integer({ min: 1, max: 24 })),
  numKHeads: fc.oneof(fc.constantFrom(0, 1), fc.integer({ min: 1, max: 9 })),
  numVHeads: fc.oneof(fc.constantFrom(0, 1), fc.integer({ min: 1, max: 5 })),
});

export function randomBatch(entry: ManifestKernel): fc.Arbitrary<Batch> {
  return randomCounts.chain((counts) => {
    const region = shape.map((given) => regionOf(entry, counts, given));
    return fc
      .record({
        source: region,
        target: needsOutput(entry) ? region : fc.option(region, { nil: undefined, freq: 5 }),
        axisGap: gap,
        cosSin: randomRows(entry, counts.numTokens),
        rope: randomRope(entry.pairing?.rotaryDim ?? 2),
        eps: fc.double({ min: -12, max: 0, noNaN: true }).map((power) => 10 ** power),
        weightForEachHead: fc.boolean(),
        isDependent: fc.boolean(),
        paging: randomPaging(entry, counts),
        isCacheOnly: fc.boolean(),
        isWithoutScales: fc.boolean(),
      })
      .chain(({ rope, target, axisGap, cosSin, ...rest }) => {
        const axisStride = counts.numTokens + axisGap;
        return randomPositions(entry.positionAxes * axisStride).map((positions) => ({
          ...{ name: "random", ...counts, ...rest, rope: ropeTable(rope), axisStride, cosSin },
          positions: entry.inputs.includes("cos_sin") ? withinRows(positions, cosSin.rows) : positions,
          ...(target === undefined ? {} : { target }),
        }));
      });
  });
}
