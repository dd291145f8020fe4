/** Faults of how stages are put together: what they share, in which block, and how their bounds add up. */
import { inClass, type Mutant } from "./mutant.js";

const EMULATED = "test/emulated.test.ts";
const KERNELS = "test/kernels.test.ts";

export const STAGE_MUTANTS: readonly Mutant[] = [
  ...inClass("blocks of stages", [
    {
      name: "loads after the wait that belong before it",
      file: "templates/cuda/kernel.cu.hbs",
      find: "  if (is_dependent) allow_next_kernel();\n",
      replace: "  if (is_dependent) allow_next_kernel(), wait_for_previous_kernel();\n",
      killedBy: "test/machine_code.test.ts",
    },
    {
      name: "a lane without a head reads its neighbour's, which is already written",
      file: "templates/cuda/kernel.cu.hbs",
      find: "    __syncwarp();  // lanes",
      replace: "    //",
      killedBy: EMULATED,
    },
    {
      name: "an input is loaded only if all applications of the stage read it",
      file: "generator/emit/kernel_view.ts",
      find: "same.some(({ reads }) => reads[input] === true)",
      replace: "same.every(({ reads }) => reads[input] === true)",
      killedBy: KERNELS,
    },
    {
      name: "1 + weight taken for the weight",
      file: "templates/cuda/stages/norm/once.hbs",
      find: "a[i] = fmaf(a[i], weight_a[i], a[i])",
      replace: "a[i] = fmaf(a[i], weight_a[i], 0.0f)",
      killedBy: EMULATED,
    },
    {
      name: "CPU: the second head of a block with the weight of the first",
      file: "templates/cpu/stages/norm.hbs",
      find: "if (head == 0 || heads.weight_head_stride != 0) {",
      replace: "if (head % 8 == 0) {",
      killedBy: KERNELS,
    },
    {
      name: "CPU: a head is measured without the stages in front",
      file: "generator/emit/kernel_view.ts",
      find: '...(i < last ? blocks("apply", [stage]) : []),',
      replace: "",
      killedBy: KERNELS,
    },
    {
      name: "CPU: the second norm uses what the first has measured",
      file: "generator/emit/kernel_view.ts",
      find: "measured: measuredBefore(stages.indexOf(stage)) }",
      replace: "measured: 0 }",
      killedBy: KERNELS,
    },
    {
      name: "an input is taken although an axis says that it is not",
      file: "dsl/sides.ts",
      find: ".inputs.filter(({ when }) => isAt(when, values))",
      replace: ".inputs.filter(({ when }) => isAt(when, values) || when !== undefined)",
      killedBy: "test/sides.test.ts",
    },
  ]),
  ...inClass("bounds of the oracle", [
    {
      name: "an error from before a norm is not carried through it",
      file: "dsl/stages/norm.ts",
      find: "Math.abs(value) * (ERROR + shift)",
      replace: "Math.abs(value) * ERROR",
      killedBy: "test/oracle.test.ts",
    },
    {
      name: "an error from before a rotation is not carried through it",
      file: "dsl/stages/rotate.ts",
      find: "Math.abs(factor) * (larger + turned(near, far))",
      replace: "Math.abs(factor) * larger",
      killedBy: "test/oracle.test.ts",
    },
  ]),
];
