/** Faults of importing a model. */
import { inClass, type Mutant } from "./mutant.js";

export const MODEL_MUTANTS: readonly Mutant[] = inClass("importing a model", [
  {
    name: "a norm across heads is taken for one of each head",
    file: "generator/models/facts.ts",
    find: "    heads: {\n",
    replace: "    together: {\n",
    killedBy: "test/models_refused.test.ts",
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
    find: "[...wanted].filter(([id]) => !old.has(id));",
    replace: "[...wanted];",
    killedBy: "test/models.test.ts",
  },
]);
