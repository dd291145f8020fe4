/**
 * The table of inputs and an op → what the template of Python's functions reads.
 *
 * In: rows of dsl/inputs.ts, the op's axes and the stages of its sides. Out: the parameters of `qk_norm_rope`, with their
 * types and texts. Pure.
 */
import { join } from "node:path";
import { AXES, type Axis, STAGES } from "../../dsl/axes.js";
import { isInRange, type Range } from "../../dsl/axis.js";
import { ARGS_BEHIND, HEADS, type Input, type Side, type TensorDtype } from "../../dsl/inputs.js";
import type { OpRules } from "../../dsl/legality.js";
import { OUT, type SideStages, type StageCall, sidesOf, stageNamed } from "../../dsl/sides.js";
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
  index: "int32 or int64",
  uint8: "uint8",
  uint64: "uint64",
  float32: "float32",
};

/** What shape and dtype do not say. */
const MEANINGS: ReadonlyMap<string, string> = new Map([
  [
    "positions",
    "`[num_tokens]`, or `[axes, num_tokens]` with `pair_axes`; a batch comes before the tokens. int32 or int64. With a table any value, since angles are reduced exactly. With `cos_sin` the index of a row; left out if rows are the tokens'.",
  ],
  [
    "pair_axes",
    "`[rotary_dim / 2]`, uint8: the axis whose position turns each pair, as `normrope.pair_axes` makes it. Default: a token has one position.",
  ],
  [
    "rope_table",
    "The angles: a `RopeTable`; or its turns, `[rotary_dim / 2]` uint64, of `normrope_rope_table`. Without a table and `cos_sin` nothing rotates.",
  ],
  [
    "cos_sin",
    "`[rows, rotary_dim]`, of q's dtype or float32, in place of a table: cosines, then sines, of a position; or of a token, `[num_tokens, rotary_dim]`, also with a batch in front.",
  ],
  [
    "slots",
    "`[num_tokens]`, or `[batch, num_tokens]`, int32 or int64: where each token goes in the caches. Slot s is slot `s % block_size` of block `s // block_size`. Below 0 a token goes into no cache. No two from 0 on are equal. Needed with a cache.",
  ],
]);

/** The same for inputs of a side. */
const MEANINGS_OF_SIDE: ReadonlyMap<string, (side: string) => string> = new Map([
  [
    "out",
    (side) =>
      `Where the results of ${side} go, of ${side}'s shape, of q's dtype or e4m3; default: a new tensor.`,
  ],
  [
    "out_scale",
    (side) =>
      `\`[]\`, \`[1]\` or \`[num_heads]\`, float32: an e4m3 \`${side}_out\` stores a result divided by it; default: 1.`,
  ],
  [
    "cache",
    (side) =>
      `\`[blocks, block_size, num_heads, head_dim]\`, or a pool of \`[slots, num_heads, head_dim]\`, of q's dtype or e4m3: the paged KV cache that the results of ${side} go into, too. Its strides are as those of heads. Default: none.`,
  ],
  [
    "cache_scale",
    (side) =>
      `\`[]\`, \`[1]\` or \`[num_heads]\`, float32: an e4m3 \`${side}_cache\` stores a result divided by it; default: 1.`,
  ],
]);

/** Inputs that may be of float32 where the table of inputs says the kernel's dtype. */
const FLOAT32 = new Set(
  [...STAGES.values()].flatMap(({ inputs }) =>
    inputs.filter(({ dtypes }) => dtypes?.f32 !== undefined).map(({ name }) => name),
  ),
);

const LINE = 120;

export function pythonOpView({ axes, stages }: OpRules): View {
  const sides = sidesOf(stages);
  const read = new Set(["rope_table", ...sides.flatMap((side) => [...inputsRead(stages[side])])]);
  const tensors = [
    ...sides.flatMap((side) => HEADS.flatMap((input) => tensorsOf(input, stages, side))),
    ...ARGS_BEHIND.filter(({ name }) => read.has(name)).flatMap((input) => tensorsOf(input, stages)),
  ];
  const numbers = ARGS_BEHIND.filter(({ type }) => type === "float").map(numberOf);
  const free = axes.filter(({ isImplied }) => !isImplied).map(axisOf);
  const heads = new Set<string>(sides);
  const named = tensors.filter(({ name }) => !heads.has(name));
  const parameters = [...named, ...numbers, ...free].sort(requiredFirst);
  /** Whether a call in place lacks it. */
  const isOfOutput = (name: string) => /_out(_scale)?$/.test(name);
  // The table is passed apart: it may be an object without memory.
  const inCall = tensors.filter(({ name }) => name !== "rope_table").map(({ name }) => name);
  const options = [
    ...[...free, ...numbers].map(({ name }) => name),
    ...["head_dim", "heads_dim", "cache_only", "out_dtype", "pdl", "library"],
  ];
  const last = sides.at(-1) ?? "q";
  const mayLackLast = mayBeLeftAlone(stages[last]);
  return {
    heads: sides.map((side, index) => withDocs(headsOf(side, index))).map(({ type: _, ...rest }) => rest),
    parameters: parameters.map(withDocs),
    inPlace: parameters.filter(({ name }) => !isOfOutput(name)).map(({ docs: _, ...rest }) => rest),
    names: lines(
      [...inCall, "rope_table"].map((name) => JSON.stringify(name)),
      8,
    ),
    tensors: lines(inCall),
    inPlaceTensors: lines(inCall.map((name) => (isOfOutput(name) ? "None" : name))),
    options: lines(options),
    inPlaceOptions: lines(options.map((name) => (name === "out_dtype" ? "None" : name))),
    exception: mayLackLast ? `, except that without ${last} there is no result for ${last}` : "",
    given: mayLackLast ? `results if ${last} is not None else results[:-1]` : "results",
  };
}

/** The arguments of a call, in lines that are short enough. */
const lines = (names: readonly string[], indent = 12) => wrapped(names.join(", "), indent, indent);

/** A text that starts behind `start` columns and goes on behind `indent`. */
function wrapped(text: string, start: number, indent: number): string {
  const found: string[] = [];
  let line = " ".repeat(start);
  for (const word of text.split(" ")) {
    if (line.length + word.length > LINE - 1 && line.trim() !== "") {
      found.push(line.trim());
      line = " ".repeat(indent);
    }
    line += `${word} `;
  }
  return [...found, line.trim()].join(`\n${" ".repeat(indent)}`);
}

const withDocs = (parameter: Parameter) => ({
  ...parameter,
  docs: wrapped(parameter.docs, parameter.name.length + 10, 12),
});

/** Parameters without a default come first. */
const requiredFirst = (a: Parameter, b: Parameter) => Number(a.default !== "") - Number(b.default !== "");

/** Only the first side is required. */
function headsOf(name: string, index: number): Parameter {
  const docs =
    index === 0 ? "Heads, bf16 or f16." : "Heads, of q's dtype, with as many tokens; default: none.";
  return { name, type: "Any", default: index === 0 ? "" : " = None", docs };
}

/** A stage call, and all that it may stand for. */
const formsOf = (call: StageCall): readonly StageCall[] => [
  call,
  ...(stageNamed(call.name).becomes ?? []).flatMap(({ as }) => (as === "left alone" ? [] : as)),
];

/** Whether at some point a kernel does nothing to a side. */
const mayBeLeftAlone = (calls: readonly StageCall[] = []) =>
  calls.some(({ name }) => stageNamed(name).becomes?.some(({ as }) => as === "left alone"));

/** The names of the inputs that stages of a side read at some point. */
function inputsRead(calls: readonly StageCall[] = []): ReadonlySet<string> {
  const read = [...calls, OUT].flatMap(formsOf).flatMap(({ name, args }) => {
    const inputs = stageNamed(name).inputs.filter(({ when = {} }) =>
      Object.entries(when).every(([axis, range]) => canBe(axis, range, args)),
    );
    return inputs.map((input) => input.name);
  });
  return new Set(read);
}

/** Whether an axis can have a value in a range where a stage has such arguments. */
function canBe(name: string, range: Range, args: StageCall["args"]): boolean {
  if (name in args) return isInRange(range, args[name]);
  const when = AXES.find((axis) => axis.name === name)?.when ?? {};
  return Object.entries(when).every(([other, needed]) => canBe(other, needed, args));
}

function tensorsOf({ name, rule }: Input, stages: SideStages, side?: Side): Parameter[] {
  if (rule.kind !== "tensor") return [];
  const isHeads = name === "in" || name === "out";
  if (side !== undefined && !isHeads && !inputsRead(stages[side]).has(name)) return [];
  const ownName = side === undefined ? name : name === "in" ? side : `${side}_${name}`;
  const [first = "", ...others] = rule.shape;
  const shapes =
    rule.strides.num_heads !== undefined && first === "num_heads" ? [others, rule.shape] : [rule.shape];
  const shape = shapes.map((sizes) => `\`[${sizes.join(", ")}]\``).join(" or ");
  const dtype = `${DTYPES[rule.dtype]}${FLOAT32.has(name) ? ", or float32" : ""}`;
  const meaning = side === undefined ? MEANINGS.get(name) : MEANINGS_OF_SIDE.get(name)?.(side);
  const docs = meaning ?? `${shape}, ${dtype}.`;
  return [{ name: ownName, type: "Any", default: " = None", docs }];
}

/** The attention factor's default is in the table of angles. Other numbers are needed where a stage reads them. */
function numberOf({ name, docs }: Input): Parameter {
  const text = `${docs.charAt(0).toUpperCase()}${docs.slice(1)}.`;
  const more = name === "attention_factor" ? "Default: the table's." : "Needed if the kernel takes it.";
  return { name, type: "float | None", default: " = None", docs: `${text} ${more}` };
}

function axisOf(axis: Axis): Parameter {
  const type = axis.kind === "enum" ? "str" : "int";
  const values =
    axis.kind === "enum"
      ? `One of ${axis.values.join(", ")}`
      : `A multiple of ${axis.step} from ${axis.min} to ${axis.max}`;
  const name = snake(axis.name);
  if (axis.default !== undefined)
    return { name, type: `${type} | None`, default: " = None", docs: `${values}; default ${axis.default}.` };
  if (axis.when === undefined) return { name, type, default: "", docs: `${values}.` };
  const where = Object.keys(axis.when).map(snake).join(" and ");
  return {
    name,
    type: `${type} | None`,
    default: " = None",
    docs: `${values}. Needed if ${where} gives it a meaning.`,
  };
}
