/** Faults of what is written besides outputs of the kernel's dtype: slots, caches, scales, FP8. */
import { inClass, type Mutant } from "./mutant.js";

const EMULATED = "test/emulated.test.ts";
const KERNELS = "test/kernels.test.ts";
const FAR = "test/far_slots.test.ts";
const E4M3 = "test/e4m3.test.ts";

export const STORE_MUTANTS: readonly Mutant[] = inClass("kv cache and fp8", [
  {
    name: "the sign of a slot of 32 bits is ignored",
    file: "templates/cuda/device.cuh",
    find: "static_cast<uint32_t>(word >> params.slot_shift)) << 32 | low);",
    replace: "static_cast<uint32_t>(word >> params.slot_shift) & 0x7fffffffu) << 32 | low);",
    killedBy: FAR,
  },
  {
    name: "a slot of 64 bits is read as 32",
    file: "templates/cuda/dispatch.cpp.hbs",
    find: "set_width(args.slot_bits,",
    replace: "set_width(32,",
    killedBy: FAR,
  },
  {
    name: "the block and the slot in it confused",
    file: "templates/cuda/device.cuh",
    find: "(block * stores.cache_block_stride + in_block * stores.cache_slot_stride)",
    replace: "(in_block * stores.cache_block_stride + block * stores.cache_slot_stride)",
    killedBy: FAR,
  },
  {
    name: "CPU: the block and the slot in it confused",
    file: "templates/cpu/simd.hpp",
    find: "slot / args.block_size * heads.cache_block_stride + slot % args.block_size * heads.cache_slot_stride",
    replace:
      "slot % args.block_size * heads.cache_block_stride + slot / args.block_size * heads.cache_slot_stride",
    killedBy: FAR,
  },
  {
    name: "a divisor of one slot more than a block has",
    file: "templates/cuda/dispatch.cpp.hbs",
    find: "wide_divisor_of(args.block_size)",
    replace: "wide_divisor_of(args.block_size + 1)",
    killedBy: FAR,
  },
  {
    name: "a division of slots in 32 bits",
    file: "templates/cuda/device.cuh",
    find: "const uint64_t block = divide(static_cast<uint64_t>(slot), params.by_block_size);",
    replace:
      "const uint64_t block = divide(static_cast<uint64_t>(slot) & 0xffffffffu, params.by_block_size);",
    killedBy: FAR,
  },
  {
    name: "a head is stored at a slot below 0",
    file: "templates/cuda/stages/cache.hbs",
    find: "if (has_head() && slot >= 0) {",
    replace: "if (has_head()) {",
    killedBy: FAR,
  },
  {
    name: "CPU: a head is stored at a slot below 0",
    file: "templates/cpu/stages/cache.hbs",
    find: "if (slot >= 0) {",
    replace: "if (slot >= -1) {",
    killedBy: FAR,
  },
  {
    name: "an output is stored that the call leaves out",
    file: "templates/cuda/stages/out.hbs",
    find: "has_head() && heads.out != nullptr;",
    replace: "has_head();",
    killedBy: EMULATED,
  },
  {
    name: "CPU: an output is stored that the call leaves out",
    file: "templates/cpu/stages/out.hbs",
    find: "if (heads.out != nullptr) {",
    replace: "if (heads.in != nullptr) {",
    killedBy: KERNELS,
  },
  {
    name: "numbers are multiplied by the scale",
    file: "templates/cuda/vectors.cuh",
    find: "const float near = approximate_reciprocal(scale);",
    replace: "scale = approximate_reciprocal(scale);\n  const float near = approximate_reciprocal(scale);",
    killedBy: E4M3,
  },
  {
    name: "CPU: numbers are multiplied by the scale",
    file: "templates/cpu/pairs/neox.hbs",
    find: "to[i + FIRST_ROTATED] = static_cast<uint8_t>(e4m3_of(a[i] / scale));",
    replace: "to[i + FIRST_ROTATED] = static_cast<uint8_t>(e4m3_of(a[i] * scale));",
    killedBy: E4M3,
  },
  {
    name: "a quotient with one product",
    file: "templates/cuda/vectors.cuh",
    find: "return fmaf(within, by.reciprocal, within * by.rest);",
    replace: "return within * by.reciprocal;",
    killedBy: E4M3,
  },
  {
    name: "the scale of the first head for all",
    file: "templates/cuda/stages/cache.hbs",
    find: "load_scale(stores.cache_scale, min(head, end_head - 1),",
    replace: "load_scale(stores.cache_scale, 0,",
    killedBy: E4M3,
  },
  {
    name: "CPU: the output by the scale of the cache",
    file: "templates/cpu/stages/out/heads.hbs",
    find: "scale_of(heads.out_scale,",
    replace: "scale_of(heads.cache_scale,",
    killedBy: E4M3,
  },
  {
    name: "what is infinite does not saturate",
    file: "templates/common/e4m3.hpp",
    find: "const uint32_t finite = magnitude < 0x43e00000u ? magnitude : 0x43e00000u;",
    replace:
      "const uint32_t finite = magnitude < 0x7f800000u ? magnitude < 0x43e00000u ? magnitude : 0x43e00000u : 0x43f00000u;",
    killedBy: E4M3,
  },
  {
    name: "what is too large does not saturate, on the GPU",
    file: "templates/cuda/ptx.cuh",
    find: "cvt.rn.satfinite.e4m3x2.f32",
    replace: "cvt.rn.e4m3x2.f32",
    killedBy: "test/emitted.test.ts",
  },
  {
    name: "ties of e4m3 away from even",
    file: "templates/common/e4m3.hpp",
    find: "0x7ffffu + (finite >> 20 & 1u)",
    replace: "0x80000u",
    killedBy: E4M3,
  },
  {
    name: "C: slots that lie over each other",
    file: "templates/common/validate.cpp",
    find: "if (has_cache(scope) && !are_apart(cache_of(scope))) {",
    replace: "if (false) {",
    killedBy: "test/overlap_caches.test.ts",
  },
  {
    name: "C: caches that lie over each other",
    file: "templates/common/apart.hpp",
    find: "if (j < i && has_cache(sides[j]) && !are_apart(cache_of(sides[j]), cache))",
    replace: "if (false)",
    killedBy: "test/overlap_caches.test.ts",
  },
  {
    name: "C: a dimension of one entry hides that caches meet",
    file: "templates/common/overlap.hpp",
    find: "if (steps[i].is_none()) return self(self, left, i - 1);",
    replace: "",
    killedBy: "test/overlap_caches.test.ts",
  },
  {
    name: "C: a cache of negative strides begins at its address",
    file: "templates/common/overlap.hpp",
    find: "if (each.stride < 0) first += (each.count - 1) * each.stride;",
    replace: "",
    killedBy: "test/overlap_caches.test.ts",
  },
  {
    name: "CPU: a slot behind the cache",
    file: "templates/cpu/data.cpp",
    find: "if (!is_far && end <= heads.cache_length) continue;",
    replace: "if (!is_far) continue;",
    killedBy: "test/bad_input/cache_data.test.ts",
  },
  {
    name: "CPU: a scale that is subnormal",
    file: "templates/cpu/data.cpp",
    find: "scale >= 0x1p-126f",
    replace: "scale > 0",
    killedBy: "test/bad_input/cache_data.test.ts",
  },
  {
    name: "an output of e4m3 in place",
    file: "templates/common/validate.cpp",
    find: "bytes_of(scope, IN_BIT) != bytes_of(scope, OUT_BIT)",
    replace: "bytes_of(scope, IN_BIT) < bytes_of(scope, OUT_BIT)",
    killedBy: "test/bad_input/cache_abi.test.ts",
  },
  {
    name: "an output that is the only thing written is left out",
    file: "dsl/sides.ts",
    find: "if (calls.filter(isSink).length > 1)",
    replace: "if (calls.filter(isSink).length > 0)",
    killedBy: "test/kv_cache.test.ts",
  },
  {
    name: "a side that is left alone has an output",
    file: "dsl/sides.ts",
    find: "return calls.some(isSink) ? [[side, calls]] : [];",
    replace: "return calls.some(isSink) ? [[side, [...calls, OUT]]] : [];",
    killedBy: "test/kv_cache.test.ts",
  },
]);
