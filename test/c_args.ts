/** Valid arguments of a C call, for tests that change one thing in them. */
import { ARGS, HEADS } from "../runtime/call.js";

/**
 * Two packed tokens of two q heads and one k head of up to 64 elements, in place at an address; weights, positions and
 * table lie behind them, from byte 1024, 2048 and 2560 on.
 */
export function packedArgs(memory: bigint, headDim: number): DataView {
  const view = new DataView(new ArrayBuffer(ARGS.size));
  view.setUint32(ARGS.structSize, ARGS.size, true);
  for (const [at, offset, heads] of [
    [ARGS.q, 0n, 2],
    [ARGS.k, 256n, 1],
  ] as const) {
    for (const field of [HEADS.in, HEADS.out]) view.setBigUint64(at + field, memory + offset, true);
    view.setBigUint64(at + HEADS.weight, memory + 1024n, true);
    for (const stride of [HEADS.inTokenStride, HEADS.outTokenStride]) {
      view.setBigInt64(at + stride, BigInt(3 * headDim), true);
    }
    for (const stride of [HEADS.inHeadStride, HEADS.outHeadStride]) {
      view.setBigInt64(at + stride, BigInt(headDim), true);
    }
    view.setInt32(at + HEADS.numHeads, heads, true);
  }
  view.setBigUint64(ARGS.positions, memory + 2048n, true);
  view.setBigUint64(ARGS.ropeTable, memory + 2560n, true);
  view.setBigInt64(ARGS.numTokens, 2n, true);
  view.setInt32(ARGS.positionBits, 32, true);
  view.setFloat32(ARGS.eps, 1e-6, true);
  view.setFloat32(ARGS.attentionFactor, 1, true);
  return view;
}
