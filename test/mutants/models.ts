/** Faults of importing a model. */
import { inClass, type Mutant } from "./mutant.js";

export const MODEL_MUTANTS: readonly Mutant[] = inClass("importing a model", [
  {
    name: "a norm across heads is taken for one of each head",
    file: "generator/models/model_types.ts",
    find: '{ lacks: ["row_norm"] }',
    replace: "NORM_ROPE",
    killedBy: "test/models_refused.test.ts",
  },
  {
    name: "an op that norms after RoPE takes the kernels of a model that norms before it",
    file: "generator/edit/spaces.ts",
    find: "calls.map(({ name }) => name).join();",
    replace: "calls.map(({ name }) => name).sort().join();",
    killedBy: "test/models_ops.test.ts",
  },
  {
    name: "an axis that an op fixes is not compared with the model's value",
    file: "generator/edit/spaces.ts",
    find: "values[axis] !== value",
    replace: "values[axis] === undefined",
    killedBy: "test/models_ops.test.ts",
  },
  {
    name: "a model that is not known is taken to have the language's default",
    file: "generator/models/head.ts",
    find: "values[axis.name] === undefined);",
    replace: "(values[axis.name] ?? axis.default) === undefined);",
    killedBy: "test/models_unknown.test.ts",
  },
  {
    name: "the whole head rotates, whatever the config says",
    file: "generator/models/rope.ts",
    find: "Math.trunc(headDim * partial)",
    replace: "headDim",
    killedBy: "test/models.test.ts",
  },
  {
    name: "fewer kv heads than ranks are split",
    file: "generator/models/model.ts",
    find: "Math.max(1, numKvHeads / tp)",
    replace: "numKvHeads / tp",
    killedBy: "test/models_unknown.test.ts",
  },
  {
    name: "layers without RoPE rotate",
    file: "generator/models/layers.ts",
    find: '(type !== "full_attention" || fullRotates) &&',
    replace: "(fullRotates || true) &&",
    killedBy: "test/models.test.ts",
  },
  {
    name: "a kernel that the config has is appended again",
    file: "generator/edit/append.ts",
    find: "[...asked].filter(([id]) => !old.has(id));",
    replace: "[...asked];",
    killedBy: "test/models.test.ts",
  },
]);
