/** Valid arguments of a C call, for tests that change one thing in them; and functions that no runtime calls. */
import { Args } from "../runtime/args.js";
import { bindFunctions } from "../runtime/library.js";

/** Changes of fields by their paths: an address, or a number. */
export type Fields = Readonly<Record<string, number | bigint>>;

/**
 * Two packed tokens of two q heads and one k head of up to 64 elements, in place at an address; weights, positions and
 * table lie behind them, from byte 1024, 2048 and 2560 on.
 */
export function packedArgs(memory: bigint, headDim: number, changed: Fields = {}): Uint8Array {
  const side = (name: "q" | "k", offset: bigint, heads: number): Fields => ({
    ...{ [`${name}.in`]: memory + offset, [`${name}.out`]: memory + offset, [`${name}.num_heads`]: heads },
    ...{ [`${name}.in_token_stride`]: 3 * headDim, [`${name}.out_token_stride`]: 3 * headDim },
    ...{ [`${name}.in_head_stride`]: headDim, [`${name}.out_head_stride`]: headDim },
    [`${name}.weight`]: memory + 1024n,
  });
  return argsOf({
    ...{ ...side("q", 0n, 2), ...side("k", 256n, 1), num_tokens: 2 },
    ...{ positions: memory + 2048n, position_bits: 32, rope_table: memory + 2560n },
    ...{ eps: 1e-6, attention_factor: 1, ...changed },
  });
}

export function argsOf(fields: Fields): Uint8Array {
  const args = new Args();
  for (const [path, value] of Object.entries(fields)) args.set(path, value);
  return args.bytes;
}

/** Functions of the C interface that the runtime does without. */
export interface OtherFunctions {
  readonly ropeTable: (invFreq: Float64Array, n: number, table: BigUint64Array) => number;
  readonly deviceGet: (device: Uint8Array) => number;
  readonly fill: (memory: bigint, byte: number, bytes: number, stream: bigint) => number;
  readonly copyOnDevice: (to: bigint, from: bigint, bytes: number, stream: bigint) => number;
}

const P = "void *";
export const otherFunctions = (path: string): OtherFunctions =>
  bindFunctions<OtherFunctions>(path, {
    ropeTable: ["normrope_rope_table", "int", [P, "int32_t", P]],
    deviceGet: ["normrope_device_get", "int", [P]],
    fill: ["normrope_memory_fill", "int", [P, "int", "size_t", P]],
    copyOnDevice: ["normrope_copy_on_device", "int", [P, P, "size_t", P]],
  });
