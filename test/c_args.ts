/** Valid arguments of a C call, for tests that change one thing in them; and functions that no runtime calls. */
import { Args } from "../runtime/args.js";
import { bindNative } from "../runtime/library.js";

/** Values of fields by their paths. */
export type Fields = Readonly<Record<string, number | bigint>>;

/** A number, or an address that is so many bytes into the memory of the call. */
export type Given = number | bigint | { readonly at: number };

/**
 * Two packed tokens of two q heads and one k head of up to 64 elements, in place; weights, positions and table lie behind
 * them, from byte 1024, 2048 and 2560 on.
 */
export function packedFields(headDim: number): Readonly<Record<string, Given>> {
  const side = (name: "q" | "k", offset: number, heads: number): Readonly<Record<string, Given>> => ({
    ...{ [`${name}.in`]: { at: offset }, [`${name}.out`]: { at: offset }, [`${name}.num_heads`]: heads },
    ...{ [`${name}.in_token_stride`]: 3 * headDim, [`${name}.out_token_stride`]: 3 * headDim },
    ...{ [`${name}.in_head_stride`]: headDim, [`${name}.out_head_stride`]: headDim },
    [`${name}.weight`]: { at: 1024 },
  });
  return {
    ...{ ...side("q", 0, 2), ...side("k", 256, 1), num_tokens: 2 },
    ...{ positions: { at: 2048 }, position_bits: 32, rope_table: { at: 2560 } },
    ...{ eps: 1e-6, attention_factor: 1 },
  };
}

/** `packedFields` with changes, for the memory at an address. */
export function packedArgs(memory: bigint, headDim: number, changed: Readonly<Record<string, Given>> = {}) {
  const given = Object.entries({ ...packedFields(headDim), ...changed });
  return argsOf(
    Object.fromEntries(
      given.map(([path, value]) => [path, typeof value === "object" ? memory + BigInt(value.at) : value]),
    ),
  );
}

export function argsOf(fields: Fields): Uint8Array {
  const args = new Args();
  for (const [path, value] of Object.entries(fields)) args.set(path, value);
  return args.bytes;
}

/** Functions of the C interface that the runtime does without. */
export interface OtherFunctions {
  readonly deviceGet: (device: Uint8Array) => number;
  readonly memoryFill: (memory: bigint, byte: number, bytes: number, stream: bigint) => number;
  readonly copyOnDevice: (to: bigint, from: bigint, bytes: number, stream: bigint) => number;
}

export const otherFunctions = (path: string): OtherFunctions =>
  bindNative<OtherFunctions>(path, ["device_get", "memory_fill", "copy_on_device"]);
