/**
 * The table of inputs and an op → what the template of Python's functions reads.
 *
 * In: rows of dsl/inputs.ts, the op's axes and the sides of its stages. Out: the parameters of `qk_norm_rope`, with their
 * types and texts. Pure.
 */
import { join } from "node:path";
import type { Axis } from "../../dsl/axes.js";
import { ARGS_BEHIND, HEADS, type Input, type TensorDtype } from "../../dsl/inputs.js";
import type { OpRules } from "../../dsl/legality.js";
import { sidesOf } from "../../dsl/sides.js";
import type { View } from "../emit/view.js";
import { PACKAGE_ROOT } from "../package_root.js";
import { snake } from "./snake.js";

export const OP_MODULE = join(PACKAGE_ROOT, "python", "normrope", "_qk_norm_rope.py");

interface Parameter extends Record<string, string> {
  readonly name: string;
  readonly type: string;
  readonly default: string;
  readonly docs: string;
}

const DTYPES: Readonly<Record<TensorDtype, string>> = {
  kernel: "of q's dtype",
  position: "int32 or int64",
  uint8: "uint8",
  uint64: "uint64",
  float32: "float32",
};

export function pythonOpView({ axes, stages }: OpRules): View {
  const sides = sidesOf(stages);
  const tensors = [
    ...sides.flatMap((side) => HEADS.flatMap((input) => tensorsOf(input, side))),
    ...ARGS_BEHIND.flatMap((input) => tensorsOf(input)),
  ];
  const numbers = ARGS_BEHIND.filter(({ type }) => type === "float").map(numberOf);
  const free = axes.filter(({ isImplied }) => !isImplied).map(axisOf);
  const heads = new Set<string>(sides);
  const named = tensors.filter(({ name }) => !heads.has(name));
  const parameters = [...named, ...numbers, ...free].sort(requiredFirst);
  const isOutput = ({ name }: { name: string }) => name.endsWith("_out");
  // The table is passed apart: it may be an object without memory.
  const inCall = tensors.filter(({ name }) => name !== "rope_table");
  const namesOf = (all: readonly Parameter[]) => all.map(({ name }) => name).join(", ");
  return {
    heads: sides.map(headsOf),
    parameters,
    inPlace: parameters.filter((parameter) => !isOutput(parameter)).map(({ docs: _, ...rest }) => rest),
    tensors: namesOf(inCall),
    inPlaceTensors: inCall.map((tensor) => (isOutput(tensor) ? "None" : tensor.name)).join(", "),
    options: namesOf([...free, ...numbers]),
    outputs: tensors
      .filter(isOutput)
      .map(({ name }) => name)
      .join(" and "),
  };
}

/** Parameters without a default come first. */
const requiredFirst = (a: Parameter, b: Parameter) => Number(a.default !== "") - Number(b.default !== "");

/** Only the first side is required. */
const headsOf = (name: string, index: number) =>
  index === 0
    ? { name, default: "", docs: "Heads, bf16 or f16." }
    : { name, default: " = None", docs: "Heads, of q's dtype, with as many tokens; default: none." };

function tensorsOf({ name, rule }: Input, side?: string): Parameter[] {
  if (rule.kind !== "tensor") return [];
  const ownName = side === undefined ? name : name === "in" ? side : `${side}_${name}`;
  const [first = "", ...others] = rule.shape;
  const shapes =
    rule.strides.num_heads !== undefined && first === "num_heads" ? [others, rule.shape] : [rule.shape];
  const shape = shapes.map((sizes) => `\`[${sizes.join(", ")}]\``).join(" or ");
  const docs =
    name === "out"
      ? `Where the results of ${side} go, of ${side}'s shape; default: a new tensor.`
      : name === "rope_table"
        ? "The angles: a `RopeTable`; or its turns, `[rotary_dim / 2]` uint64, of `normrope_rope_table`."
        : `${shape}, ${DTYPES[rule.dtype]}${name === "positions" ? ", also with a batch in front; any value, angles are reduced exactly" : ""}.`;
  return [{ name: ownName, type: "Any", default: " = None", docs }];
}

/** `eps` has no default. The attention factor's is in the table of angles. */
function numberOf({ name, docs, rule }: Input): Parameter {
  const text = `${docs.charAt(0).toUpperCase()}${docs.slice(1)}.`;
  if (rule.kind === "eps") return { name, type: "float", default: "", docs: text };
  const fromTable = name === "attention_factor" ? " Default: the table's." : "";
  return { name, type: "float | None", default: " = None", docs: `${text}${fromTable}` };
}

function axisOf(axis: Axis): Parameter {
  const type = axis.kind === "enum" ? "str" : "int";
  const values =
    axis.kind === "enum"
      ? `One of ${axis.values.join(", ")}`
      : `A multiple of ${axis.step} from ${axis.min} to ${axis.max}`;
  return {
    name: snake(axis.name),
    ...(axis.default === undefined
      ? { type, default: "", docs: `${values}.` }
      : { type: `${type} | None`, default: " = None", docs: `${values}; default ${axis.default}.` }),
  };
}
