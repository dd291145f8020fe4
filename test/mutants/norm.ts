/** Faults of weights, biases and norms. */
import { inClass, type Mutant } from "./mutant.js";

const EMULATED = "test/emulated.test.ts";
const KERNELS = "test/kernels.test.ts";

export const NORM_MUTANTS: readonly Mutant[] = inClass("weights and norm", [
  {
    name: "q and k with each other's weights",
    file: "templates/cuda/stages/norm.hbs",
    find: "const char *const weight = nth(heads.weight,",
    replace: "const char *const weight = nth(params.heads[SIDES - 1].weight,",
    killedBy: EMULATED,
  },
  {
    name: "q and k with each other's weights, in the call",
    file: "runtime/heads.ts",
    find: "weight: qWeight",
    replace: "weight: kWeight",
    killedBy: "test/op.test.ts",
  },
  {
    name: "the weight of the wrong half",
    file: "templates/cuda/stages/norm.hbs",
    find: "second_weight[f] = load_vector<{{weightVector}}>(weight, second_vector(fragment_of(f)))",
    replace: "second_weight[f] = load_vector<{{weightVector}}>(weight, first_vector(fragment_of(f)))",
    killedBy: EMULATED,
  },
  {
    name: "eps outside the mean",
    file: "templates/cuda/stages/norm/once.hbs",
    find: "params.eps * (1.0f * HEAD_DIM / PARTIAL_SUMS);",
    replace: "params.eps * (1.0f / PARTIAL_SUMS);",
    killedBy: EMULATED,
  },
  {
    name: "one weight for all heads, where each has its own",
    file: "templates/cuda/dispatch.cpp.hbs",
    find: "{{#each headTensors}}\n  to.{{name}} = static_cast<{{type}}>(from.{{name}});\n{{#each strides}}\n  to.{{stride}} = from.{{stride}} * {{elementBytes}};",
    replace:
      "{{#each headTensors}}\n  to.{{name}} = static_cast<{{type}}>(from.{{name}});\n{{#each strides}}\n  to.{{stride}} = from.{{stride}} * {{elementBytes}} * 0;",
    killedBy: EMULATED,
  },
  {
    name: "surplus lanes add a neighbour's elements",
    file: "templates/cuda/kernel.cu.hbs",
    find: "if (!has_fragment(f)) first[f]",
    replace: "if (false) first[f]",
    killedBy: EMULATED,
  },
  {
    name: "CPU: the mean over one element less",
    file: "templates/cpu/stages/norm.hbs",
    find: "sum / HEAD_DIM + args.eps",
    replace: "sum / (HEAD_DIM - 1) + args.eps",
    killedBy: KERNELS,
  },
  {
    name: "the mean is subtracted from half of the elements",
    file: "templates/cuda/stages/norm/centre.hbs",
    find: "a[i] -= mean, b[i] -= mean;",
    replace: "a[i] -= mean;",
    killedBy: EMULATED,
  },
  {
    name: "CPU: squares of the elements, not of their distance from the mean",
    file: "templates/cpu/stages/norm.hbs",
    find: "(a[i] - mean) * (a[i] - mean) + (b[i] - mean) * (b[i] - mean)",
    replace: "a[i] * a[i] + b[i] * b[i]",
    killedBy: KERNELS,
  },
  {
    name: "the bias added before the scale",
    file: "templates/cuda/stages/norm/once.hbs",
    find: "a[i] = fmaf(a[i], scale, bias_a[i])",
    replace: "a[i] = (a[i] + bias_a[i]) * scale",
    killedBy: EMULATED,
  },
  {
    name: "CPU: 1 + weight rounded to 16 bits",
    file: "templates/cpu/stages/norm.hbs",
    find: "a[i] *= scale * (1.0f + weight_a[i]);",
    replace: "a[i] *= scale * rounded_{{dtype}}(1.0f + weight_a[i]);",
    killedBy: KERNELS,
  },
  {
    name: "strides of float32 weights counted in 2 bytes",
    file: "templates/common/abi.hpp",
    find: "(inputs.float32 >> bit & 1) != 0) return sizeof(float)",
    replace: "(inputs.float32 >> bit & 1) > 1) return sizeof(float)",
    killedBy: EMULATED,
  },
]);
