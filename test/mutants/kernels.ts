/** Faults of which elements a kernel works on, and of the norm: lanes, heads, addresses, weights. */
import { inClass, type Mutant } from "./mutant.js";

const EMULATED = "test/emulated.test.ts";
const KERNELS = "test/kernels.test.ts";

export const KERNEL_MUTANTS: readonly Mutant[] = [
  ...inClass("collectives", [
    {
      name: "the sum over lanes only where there is a head",
      file: "templates/cuda/stages/norm/once.hbs",
      find: "const float sum = sum_over_lanes",
      replace: "float sum = 1; if (head < end_head) sum = sum_over_lanes",
      killedBy: EMULATED,
    },
    {
      name: "lanes of a head that are no power of two",
      file: "generator/plan/plan.ts",
      find: "const latencyLanes = Math.min(WARP_LANES, powerOfTwoAtLeast(fragments));",
      replace: "const latencyLanes = Math.min(WARP_LANES, fragments);",
      killedBy: "test/plan.test.ts",
    },
    {
      name: "lanes without a head leave before the sum",
      file: "templates/cuda/kernel.cu.hbs",
      find: "  // Loads of weights and tables, which",
      replace: "  if (head >= end_head) return;\n  // Loads of weights and tables, which",
      killedBy: EMULATED,
    },
    {
      name: "a sum that leaves out the last exchange",
      file: "templates/cuda/device.cuh",
      find: "uint32_t distance = LEAVES / 2; distance > 0;",
      replace: "uint32_t distance = LEAVES / 2; distance > 1;",
      killedBy: EMULATED,
    },
    {
      name: "the sum of a head over ten lanes takes in lanes of the next",
      file: "templates/cuda/device.cuh",
      find: "value += partner < LANES ? other : empty;",
      replace: "value += other;",
      killedBy: EMULATED,
    },
    {
      name: "the last two of ten lanes add lanes that have no sum",
      file: "templates/cuda/device.cuh",
      find: "(distance == LEAVES / 2 ? lane_of_head : lane_of_head % (LEAVES / 2)) ^ distance",
      replace: "lane_of_head ^ distance",
      killedBy: EMULATED,
    },
  ]),
  ...inClass("which heads a lane works on", [
    {
      name: "a lane off by one",
      file: "templates/cuda/kernel.cu.hbs",
      find: "head_of_warp = lane / LANES_PER_HEAD,",
      replace: "head_of_warp = (lane + 1) / LANES_PER_HEAD,",
      killedBy: EMULATED,
    },
    {
      name: "the bound of heads is `<=`",
      file: "templates/cuda/kernel.cu.hbs",
      find: "return head < end_head && !is_spare;",
      replace: "return head <= end_head && !is_spare;",
      killedBy: EMULATED,
    },
    {
      name: "the last block of q works on k",
      file: "templates/cuda/device.cuh",
      find: "const bool is_second = blockIdx.x >= first_of_second;",
      replace: "const bool is_second = blockIdx.x + 1 >= first_of_second;",
      killedBy: EMULATED,
    },
    {
      name: "the last block of k works on v",
      file: "templates/cuda/device.cuh",
      find: "is_third = blockIdx.x >= first_of_third;",
      replace: "is_third = blockIdx.x + 1 >= first_of_third;",
      killedBy: EMULATED,
    },
    {
      name: "a body counts as one side, however many share it",
      file: "generator/emit/kernel_view.ts",
      find: "(count, { sides }) => count + sides.length",
      replace: "(count) => count + 1",
      killedBy: EMULATED,
    },
    {
      name: "sides in the order of the interface, not of the kernel",
      file: "generator/emit/view.ts",
      find: 'sides: sides.map((side) => SIDES.indexOf(side)).join(", ")',
      replace:
        'sides: SIDES.filter((side) => sides.includes(side)).map((side) => SIDES.indexOf(side)).join(", ")',
      killedBy: EMULATED,
    },
    {
      name: "the last partial task is dropped",
      file: "templates/cuda/layout.hpp",
      find: "return static_cast<uint32_t>((a + b - 1) / b);",
      replace: "return static_cast<uint32_t>(a / b);",
      killedBy: EMULATED,
    },
    {
      name: "the number of blocks in a slice is rounded down",
      file: "templates/cuda/dispatch.cpp.hbs",
      find: "heads[i].blocks_per_slice = divide_up(blocks, decision.slices);",
      replace: "heads[i].blocks_per_slice = static_cast<uint32_t>(blocks / decision.slices);",
      killedBy: EMULATED,
    },
    {
      name: "tokens beyond the grid: more slices than it has rows",
      file: "templates/cuda/dispatch.cpp.hbs",
      find: "std::clamp(blocks / blocks_per_slice, int64_t{1}, GRID_Y_MAX)",
      replace: "std::max(blocks / blocks_per_slice, int64_t{1})",
      killedBy: EMULATED,
    },
    {
      name: "a division that is not rounded up in its last bit",
      file: "templates/cuda/dispatch.cpp.hbs",
      find: "<< 32) / d + 1), shift};",
      replace: "<< 32) / d), shift};",
      killedBy: EMULATED,
    },
    {
      name: "the later heads of a task with the weight of its first",
      file: "templates/cuda/layout.hpp",
      find: "  if (heads_differ) return {&launch.latency, 1};\n",
      replace: "",
      killedBy: EMULATED,
    },
    {
      name: "CPU: the last head of a block of heads is left out",
      file: "templates/cpu/kernel.cpp.hbs",
      find: "least(first + BLOCK_HEADS, heads.num_heads)",
      replace: "least(first + BLOCK_HEADS, heads.num_heads - 1)",
      killedBy: KERNELS,
    },
    {
      name: "CPU: a range of tokens ends behind the last",
      file: "templates/cpu/threads.cpp",
      find: "std::min(first + step, count)",
      replace: "first + step",
      killedBy: "test/threads.test.ts",
    },
    {
      name: "CPU: a call returns while others are at its last ranges",
      file: "templates/cpu/threads.cpp",
      find: "  job->wait();\n",
      replace: "",
      killedBy: "test/threads.test.ts",
    },
    {
      name: "CPU: the child of a fork relies on its parent's threads",
      file: "templates/cpu/threads.cpp",
      find: "    pthread_atfork(nullptr, nullptr, make_pool);\n",
      replace: "",
      killedBy: "test/threads.test.ts",
    },
  ]),
  ...inClass("addresses", [
    {
      name: "a shift by 32 of 32 bits",
      file: "templates/cuda/dispatch.cpp.hbs",
      find: "((((uint64_t{1} << shift) - d) << 32)",
      replace: "((((uint32_t{1} << shift) - d) << 32)",
      killedBy: EMULATED,
    },
    {
      name: "an offset of 32 bits",
      file: "templates/cuda/device.cuh",
      find: "const char *first, uint32_t n, int64_t stride) {\n  return first + static_cast<uint64_t>(n) * stride;",
      replace:
        "const char *first, uint32_t n, int64_t stride) {\n  return first + static_cast<int>(n * stride);",
      killedBy: "test/far_offsets.test.ts",
    },
    {
      name: "CPU: an offset of 32 bits",
      file: "templates/cpu/kernel.cpp.hbs",
      find: "static_cast<const uint16_t *>(heads.in) + token * heads.in_token_stride",
      replace: "static_cast<const uint16_t *>(heads.in) + static_cast<int>(token * heads.in_token_stride)",
      killedBy: "test/far_offsets.test.ts",
    },
    {
      name: "vector loads past the end of a row",
      file: "templates/cuda/kernel.cu.hbs",
      find: "lane_of_head + f * LANES_PER_HEAD : FRAGMENTS - 1;",
      replace: "lane_of_head + f * LANES_PER_HEAD : FRAGMENTS;",
      killedBy: EMULATED,
    },
    {
      name: "the output's strides are those of the input",
      file: "templates/cuda/dispatch.cpp.hbs",
      find: "to.out_head_stride = from.out_head_stride * out_bytes;",
      replace: "to.out_head_stride = from.in_head_stride * out_bytes;",
      killedBy: EMULATED,
    },
    {
      name: "the output's offset in 32 bits",
      file: "templates/cuda/device.cuh",
      find: "char *nth(char *first, uint32_t n, int64_t stride) {\n  return first + static_cast<uint64_t>(n) * stride;",
      replace:
        "char *nth(char *first, uint32_t n, int64_t stride) {\n  return first + static_cast<int>(n * stride);",
      killedBy: "test/far_offsets.test.ts",
    },
    {
      name: "the output's token stride is that of the input",
      file: "templates/cuda/dispatch.cpp.hbs",
      find: "to.out_token_stride = from.out_token_stride * out_bytes;",
      replace: "to.out_token_stride = from.in_token_stride * out_bytes;",
      killedBy: EMULATED,
    },
    {
      name: "the stride of q for k",
      file: "templates/cuda/dispatch.cpp.hbs",
      find: "  set_call(params, *args, kernel_entry);",
      replace:
        "  if (side_count > 1) heads[1].in_head_stride = heads[0].in_head_stride;\n  set_call(params, *args, kernel_entry);",
      killedBy: "test/random_configs.test.ts",
    },
    {
      name: "the head stride of the first side for the third",
      file: "templates/cuda/dispatch.cpp.hbs",
      find: "  set_call(params, *args, kernel_entry);",
      replace:
        "  if (side_count > 2) heads[2].in_head_stride = heads[0].in_head_stride;\n  set_call(params, *args, kernel_entry);",
      killedBy: "test/random_configs.test.ts",
    },
    {
      name: "the stride of q for k, packed by the runtime",
      file: "runtime/call.ts",
      find: "if (heads !== undefined) this.#packSide(side, heads, numTokens);",
      replace:
        "if (heads !== undefined) this.#packSide(side, { ...heads, in: { ...heads.in, tokenStride: (options.q ?? heads).in.tokenStride } }, numTokens);",
      killedBy: "test/random_configs.test.ts",
    },
    {
      name: "the position of another token",
      file: "templates/cuda/device.cuh",
      find: "static_cast<uint64_t>(token) * params.position_bytes",
      replace: "static_cast<uint64_t>(token) * 4",
      killedBy: EMULATED,
    },
  ]),
];
