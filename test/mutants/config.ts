/** Faults of the config space: which points there are, in which order, and what their kernels are called. */
import { inClass, type Mutant } from "./mutant.js";

export const CONFIG_MUTANTS: readonly Mutant[] = inClass("config space", [
  {
    name: "a legal rotary_dim is rejected",
    file: "dsl/legality.ts",
    find: "value > bound",
    replace: "value !== bound",
    killedBy: "test/expand.test.ts",
  },
  {
    name: "values that are no multiple of the axis' step",
    file: "dsl/axis.ts",
    find: "    value % range.step === 0 &&\n",
    replace: "",
    killedBy: "test/expand.test.ts",
  },
  {
    name: "the order of a space decides the order of its kernels",
    file: "dsl/points.ts",
    find: "const names = leadersFirst(axes).map(",
    replace: "const names = leadersFirst(axes).slice(0, 1).map(",
    killedBy: "test/expand.test.ts",
  },
  {
    name: "an axis means something everywhere",
    file: "dsl/points.ts",
    find: "if (range !== undefined && !isInRange(range, values[name])) return false;",
    replace: "if (range === undefined) return false;",
    killedBy: "test/axes.test.ts",
  },
  {
    name: "two ops of a library have one name",
    file: "generator/load/index.ts",
    find: "space.op.name === op.name",
    replace: "space.op === op",
    killedBy: "test/several_spaces.test.ts",
  },
  {
    name: "two kernels with one name",
    file: "generator/kernel_id.ts",
    find: "value === axis.default ? []",
    replace: 'value === axis.default || axis.tag === "r" ? []',
    killedBy: "test/name.test.ts",
  },
  {
    name: "another op with the ids of the one that ships",
    file: "generator/kernel_id.ts",
    find: "name === op.name && [stages, without(stages, isIdle)].some((each) => digestOf(each) === own)",
    replace: "name === op.name",
    killedBy: "test/name.test.ts",
  },
  {
    name: "the kernel of the other style is found",
    file: "dsl/manifest.ts",
    find: "isSamePoint(op.axes, kernel.point, point)",
    replace: 'isSamePoint(op.axes.filter(({ name }) => name !== "rope"), kernel.point, point)',
    killedBy: "test/support.test.ts",
  },
  {
    name: "an argument outside its axis is recorded",
    file: "generator/load/expression.ts",
    find: "if (!isInRange(axis, found.value)) {",
    replace: "if (false) {",
    killedBy: "test/bad_input/config_op.test.ts",
  },
]);
