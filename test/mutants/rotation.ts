/** Faults of what the kernels compute: rotation, angles, rounding, and when they may read it. */
import { inClass, type Mutant } from "./mutant.js";

const EMULATED = "test/emulated.test.ts";
const KERNELS = "test/kernels.test.ts";

export const ROTATION_MUTANTS: readonly Mutant[] = [
  ...inClass("rotation", [
    {
      name: "sine and cosine swapped",
      file: "templates/cuda/device.cuh",
      find: "sine = approximate_sine(angle), cosine = approximate_cosine(angle);",
      replace: "cosine = approximate_sine(angle), sine = approximate_cosine(angle);",
      killedBy: EMULATED,
    },
    {
      name: "the rotation's sign",
      file: "templates/cuda/stages/rotate.hbs",
      find: "fmaf(b[i], cosine[i], a[i] * sine[i])",
      replace: "fmaf(b[i], cosine[i], -(a[i] * sine[i]))",
      killedBy: EMULATED,
    },
    {
      name: "CPU: the rotation's sign",
      file: "templates/cpu/stages/rotate.hbs",
      find: "- b[i] * sine[i]",
      replace: "+ b[i] * sine[i]",
      killedBy: KERNELS,
    },
    {
      name: "rotary_dim taken for head_dim",
      file: "generator/plan/plan.ts",
      find: 'pairing?.rope === "neox" ? pairing.rotaryDim / 2 : headDim / 2;',
      replace: "headDim / 2;",
      killedBy: "test/lanes.test.ts",
    },
    {
      name: "what passes through is rotated",
      file: "templates/cuda/stages/rotate.hbs",
      find: "if (pair >= ROTARY_PAIRS) turns[n] = 0;",
      replace: "if (pair > ROTARY_PAIRS) turns[n] = 0;",
      killedBy: EMULATED,
    },
    {
      name: "the attention factor on what passes through",
      file: "templates/cuda/stages/rotate.hbs",
      find: "pair_of(fragment_of(f), i) < ROTARY_PAIRS ? params.attention_factor : 1.0f",
      replace: "params.attention_factor",
      killedBy: EMULATED,
    },
    {
      name: "the table's index halved",
      file: "templates/cuda/pairs/neox.hbs",
      find: "pair_of(uint32_t j, uint32_t i) { return VECTOR_ELEMENTS * j + i; }",
      replace: "pair_of(uint32_t j, uint32_t i) { return (VECTOR_ELEMENTS * j + i) / 2; }",
      killedBy: EMULATED,
    },
    {
      name: "interleaved pairs with the table of NeoX",
      file: "templates/cuda/pairs/interleaved.hbs",
      find: "return i < 2 ? 2 * j + i : HEAD_DIM / 4 + 2 * j + i - 2;",
      replace: "return VECTOR_ELEMENTS * j + i;",
      killedBy: EMULATED,
    },
  ]),
  ...inClass("angles at far positions", [
    {
      name: "the angle from 0 to a whole turn, not reduced to half of one",
      file: "templates/cuda/device.cuh",
      find: "static_cast<float>(static_cast<int32_t>(product))",
      replace: "static_cast<float>(product)",
      killedBy: EMULATED,
    },
    {
      name: "the angle in float32",
      file: "templates/cuda/device.cuh",
      find: "const float angle = static_cast<float>(static_cast<int32_t>(product)) * 1.46291807926715968e-9f;",
      replace:
        "const float turn = static_cast<float>(turns) * 5.421010862427522e-20f * static_cast<float>(static_cast<int32_t>(position.low));\n  const float angle = (turn - std::floor(turn)) * 6.283185307f + 0.0f * product;",
      killedBy: EMULATED,
    },
    {
      name: "the table's lower half ignored",
      file: "templates/cuda/device.cuh",
      find: "__umulhi(low, position.low) + high * position.low",
      replace: "high * position.low",
      killedBy: EMULATED,
    },
    {
      name: "the position truncated to 16 bits",
      file: "templates/cuda/device.cuh",
      find: "return {low, static_cast<uint32_t>(word >> params.position_shift)};",
      replace: "return {low & 0xffffu, 0};",
      killedBy: EMULATED,
    },
    {
      name: "the position without a sign",
      file: "templates/cuda/dispatch.cpp.hbs",
      find: "params.position_high_byte = has_int64_positions ? 4 : 0;",
      replace: "params.position_high_byte = 4;",
      killedBy: EMULATED,
    },
    {
      name: "positions of 64 bits read as 32",
      file: "templates/cpu/simd.hpp",
      find: "static_cast<const int64_t *>(args.positions)[token]",
      replace: "static_cast<int32_t>(static_cast<const int64_t *>(args.positions)[token])",
      killedBy: KERNELS,
    },
    {
      name: "the table truncated instead of rounded",
      file: "templates/common/turns.hpp",
      find: "return turns + bit(unit - 1);",
      replace: "return turns;",
      killedBy: "test/rope_table.test.ts",
    },
    {
      name: "YaRN's ramp without its last frequency",
      file: "runtime/rope_scalings.ts",
      find: "truncate === 1 ? Math.ceil(slowest)",
      replace: "truncate === 1 ? Math.floor(slowest)",
      killedBy: "test/rope_scaling.test.ts",
    },
  ]),
  ...inClass("rounding", [
    {
      name: "toward zero, on the GPU",
      file: "templates/cuda/ptx.cuh",
      find: "cvt.rn.bf16x2.f32",
      replace: "cvt.rz.bf16x2.f32",
      killedBy: "test/emitted.test.ts",
    },
    {
      name: "CPU: bf16 toward zero",
      file: "templates/cpu/simd.hpp",
      find: "return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;",
      replace: "return bits >> 16;",
      killedBy: KERNELS,
    },
    {
      name: "CPU: ties of f16 away from even",
      file: "templates/cpu/simd.hpp",
      find: "0x0fffu + ((magnitude >> 13) & 1u)",
      replace: "0x1000u",
      killedBy: "test/rounding.test.ts",
    },
    {
      name: "a pair of f16 in the other order",
      file: "templates/cuda/device.cuh",
      find: "narrow_f16(const float *x, uint32_t &v) { v = f16x2_of(x[0], x[1]); }",
      replace: "narrow_f16(const float *x, uint32_t &v) { v = f16x2_of(x[1], x[0]); }",
      killedBy: EMULATED,
    },
  ]),
  ...inClass("dependent launch", [
    {
      name: "data read before the kernel before has ended",
      file: "templates/cuda/kernel.cu.hbs",
      find: "  if (is_dependent) wait_for_previous_kernel();\n",
      replace: "",
      killedBy: EMULATED,
    },
    {
      name: "no launch is dependent",
      file: "templates/cuda/dispatch.cpp.hbs",
      find: "(architecture >= 900 &&",
      replace: "(architecture >= 9000 &&",
      killedBy: EMULATED,
    },
    {
      name: "the wait after the first loads",
      file: "templates/cuda/kernel.cu.hbs",
      find: "  load_head();\n{{#each read}}",
      replace: "{{#each read}}",
      killedBy: EMULATED,
    },
    {
      name: "a stage that reads before the kernel before has ended",
      file: "templates/cuda/stages/rotate.hbs",
      find: "{{#if read}}\nconst Position position",
      replace: "{{#if declare}}\nconst Position position",
      killedBy: EMULATED,
    },
    {
      name: "only the first fragment of a lane prepared",
      file: "templates/cuda/kernel.cu.hbs",
      find: "f < FRAGMENTS_PER_LANE; ++f) {\n{{#each prepare}}",
      replace: "f < 1; ++f) {\n{{#each prepare}}",
      killedBy: "test/random_configs.test.ts",
    },
  ]),
];
