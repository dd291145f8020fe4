/**
 * The manifest: what a compiled library holds.
 *
 * In: nothing. Out: its schema, the types that follow from it, and the selection of a kernel by its config point. Pure.
 */
import { z } from "zod";
import {
  AXES,
  type Axis,
  type AxisValues,
  type ConfigPoint,
  OP_AXIS_NAMES,
  type OpAxisName,
  STAGES,
} from "./axes.js";
import { SIDES } from "./inputs.js";
import { isSamePoint } from "./points.js";
import type { StageCall } from "./sides.js";
import { OTHER_DTYPES } from "./stage.js";

export type { ConfigPoint };

/** Version of the C ABI in normrope.h. A library of another version is refused. */
export const ABI_VERSION = 2;

/** The files in the build folder of a target. */
export const LIBRARY_NAME = "libnormrope.so";
export const MANIFEST_NAME = "manifest.json";

/** Names of the table of axes. */
const axisName = z.enum(AXES.map(({ name }) => name));

/** Accepts the values of an axis's row. `legality` checks what an op narrows. */
function axisValueSchema(axis: Axis, mayBeAbsent: boolean): z.ZodType {
  const value = axis.kind === "integer" ? z.int().min(axis.min).max(axis.max) : z.enum(axis.values);
  return mayBeAbsent ? value.optional() : value;
}

/** The type of `pointShape`: it follows from the table of axes. */
type PointShape = {
  readonly [Name in keyof ConfigPoint]-?: undefined extends ConfigPoint[Name]
    ? z.ZodOptional<z.ZodType<NonNullable<ConfigPoint[Name]>>>
    : z.ZodType<ConfigPoint[Name]>;
};

/** The fields of a point. */
export const pointShape = Object.fromEntries(
  AXES.map((axis) => [axis.name, axisValueSchema(axis, !OP_AXIS_NAMES.includes(axis.name))]),
) as PointShape;

const axisValue = z.union([z.number(), z.string()]);

/** A stage of a side, with the axes that its arguments fix. */
const stageSchema = z.strictObject({
  name: z.enum([...STAGES.keys()]),
  args: z.record(z.string(), axisValue),
});
const sideSchema: z.ZodType<readonly StageCall[]> = z.array(stageSchema).min(1);

const integerShape = { kind: z.literal("integer"), step: z.int().positive(), min: z.int(), max: z.int() };
const enumShape = { kind: z.literal("enum"), values: z.array(z.string()) };
const rangeSchema = z.discriminatedUnion("kind", [z.strictObject(integerShape), z.strictObject(enumShape)]);

/** An axis of an op: a row of the table, narrowed or not. */
const roleShape = {
  name: axisName,
  default: axisValue.optional(),
  follows: axisName.optional(),
  within: axisName.optional(),
  when: z.record(z.string(), rangeSchema).optional(),
  tag: z.string().optional(),
  tags: z.record(z.string(), z.string()).optional(),
  aliases: z.record(z.string(), z.string()).optional(),
  isImplied: z.boolean().optional(),
  leads: z.boolean().optional(),
};
const axisSchema: z.ZodType<Axis> = z.discriminatedUnion("kind", [
  z.strictObject({ ...integerShape, ...roleShape }),
  z.strictObject({ ...enumShape, ...roleShape }),
]);

const axesSchema: z.ZodType<readonly Axis[]> = z.array(axisSchema);

export const opSchema = z.strictObject({
  name: z.string(),
  axes: axesSchema,
  /** The stages of each side that has any. */
  stages: z.strictObject({ q: sideSchema.optional(), k: sideSchema.optional(), v: sideSchema.optional() }),
});

/** A kernel: its point, its inputs, and how a head lies over the lanes of a warp (CUDA), which `generator/plan` decides. */
const kernelSchema = z.strictObject({
  id: z.string(),
  /** The name of its op. */
  op: z.string(),
  point: z.strictObject(pointShape),
  /** The inputs that the kernel takes, as paths of `normrope_args`: `q.in`, `q.weight`, `positions`. */
  inputs: z.array(z.string()),
  /** Those that a call may leave out. */
  optionalInputs: z.array(z.string()),
  /** The dtypes of those that have another one than the table of inputs says. */
  inputDtypes: z.record(z.string(), z.enum(OTHER_DTYPES)),
  /** The sides that it only copies, which cannot be done in place. */
  copiedSides: z.array(z.enum(SIDES)),
  /** The positions of a token: an element of `positions` for each. */
  positionAxes: z.int().positive(),
  /** The pairing of elements, if any rotate: how many, and from which on. */
  pairing: z
    .strictObject({ rope: z.string(), rotaryDim: z.int().positive(), start: z.int().nonnegative() })
    .optional(),
  /** Elements of one memory access. */
  vectorElements: z.int().positive(),
  /** Fragments of a head. A fragment is two vectors that one lane holds. */
  fragments: z.int().positive(),
  lanesPerHead: z.int().positive(),
  fragmentsPerLane: z.int().positive(),
  /** Heads that a warp works on at once. */
  headsPerWarp: z.int().positive(),
  /** The same in the throughput layout. */
  throughputHeadsPerWarp: z.int().positive(),
  blockThreads: z.int().positive(),
});

/** Picks a manifest's fields of a kernel from an object with more. */
export const manifestKernel = (kernel: ManifestKernel): ManifestKernel =>
  z.object(kernelSchema.shape).parse(kernel);

/** A kernel's resources on one architecture, from ptxas. */
const resourcesSchema = z.strictObject({
  arch: z.string(),
  registers: z.int(),
  stackBytes: z.int(),
  spillStoreBytes: z.int(),
  spillLoadBytes: z.int(),
});

const buildSchema = z.strictObject({
  target: z.enum(["cuda", "cpu"]),
  /** The compiler's version line. */
  toolchain: z.string(),
  flags: z.array(z.string()),
  /** CUDA: the architectures that the library holds code for. */
  archs: z.array(z.string()),
  /** CPU: the features that the library needs, spelled as in /proc/cpuinfo. */
  cpuFeatures: z.array(z.string()),
  cpuArch: z.string(),
  librarySha256: z.string(),
  resources: z.record(z.string(), z.array(resourcesSchema)),
});

export const manifestSchema = z.strictObject({
  abi: z.literal(ABI_VERSION),
  compiler: z.string(),
  /** Sorted by name. Names differ. */
  ops: z.array(opSchema),
  /** SHA-256 of the emitted sources. It ties a library to its manifest. */
  sourcesSha256: z.string(),
  kernels: z.array(kernelSchema),
});

/** `build/<target>/manifest.json`: the emitted manifest and what the build adds. */
export const builtManifestSchema = manifestSchema
  .extend({ build: buildSchema })
  .refine(({ ops, kernels }) => kernels.every(({ op }) => ops.some(({ name }) => name === op)), {
    ...{ path: ["kernels"], error: "a kernel is of an op that is not there" },
  });

/** An op in a manifest: its axes and stages. */
export type ManifestOp = z.infer<typeof opSchema>;
export type ManifestKernel = z.infer<typeof kernelSchema>;
export type Resources = z.infer<typeof resourcesSchema>;
export type Manifest = z.infer<typeof manifestSchema>;
/** A built library's manifest: its kernels and its build. */
export type BuiltManifest = z.infer<typeof builtManifestSchema>;
/** Where a library runs. */
export type Target = BuiltManifest["build"]["target"];

/** A point as a caller writes it. Axes at their default may be omitted, and the op if the library holds only one. */
export type PointQuery = Pick<AxisValues, OpAxisName> & {
  readonly [Name in keyof AxisValues]?: AxisValues[Name] | undefined;
} & {
  /** The name of an op of the library. */
  readonly op?: string | undefined;
};

/** The parts of an op that finding its kernels needs. */
export interface OpAxes {
  readonly name: string;
  readonly axes: readonly Axis[];
}

/** The kernel of an op for a point. */
export function findKernel<K extends Pick<ManifestKernel, "op" | "point">>(
  kernels: readonly K[],
  op: OpAxes,
  point: ConfigPoint,
): K | undefined {
  return kernels.find((kernel) => kernel.op === op.name && isSamePoint(op.axes, kernel.point, point));
}

/** The op of a kernel. A checked manifest has it. */
export function opOf<O extends { readonly name: string }>(
  ops: readonly O[],
  kernel: { readonly op: string },
): O {
  const op = ops.find(({ name }) => name === kernel.op);
  if (op === undefined) throw new RangeError(`${kernel.op} is none of ${ops.map(({ name }) => name).join()}`);
  return op;
}
