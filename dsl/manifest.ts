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
import { isSamePoint } from "./points.js";
import type { StageCall } from "./sides.js";

export type { ConfigPoint };

/** Version of the C ABI in normrope.h; a library of another one is refused. */
export const ABI_VERSION = 2;

/** The files that a build leaves in the folder of its target. */
export const LIBRARY_NAME = "libnormrope.so";
export const MANIFEST_NAME = "manifest.json";

/** Names of the table of axes. */
const axisName = z.enum(AXES.map(({ name }) => name));

/** The values of an axis by its row, for all ops: what an op narrows is for `legality` to say. */
function axisValueSchema(axis: Axis, mayBeAbsent: boolean): z.ZodType {
  const value = axis.kind === "integer" ? z.int().min(axis.min).max(axis.max) : z.enum(axis.values);
  return mayBeAbsent ? value.optional() : value;
}

/** The casts are what the table says, row by row. */
type PointShape = {
  readonly [Name in keyof ConfigPoint]-?: undefined extends ConfigPoint[Name]
    ? z.ZodOptional<z.ZodType<NonNullable<ConfigPoint[Name]>>>
    : z.ZodType<ConfigPoint[Name]>;
};

/** The fields of a point: it has those that its op has and that mean something there. */
export const pointShape = Object.fromEntries(
  AXES.map((axis) => [axis.name, axisValueSchema(axis, !OP_AXIS_NAMES.includes(axis.name))]),
) as PointShape;

const axisValue = z.union([z.number(), z.string()]);

/** One step of a side, in the order of application, with the axes that its arguments fix. */
const stageSchema = z.strictObject({
  name: z.enum([...STAGES.keys()]),
  args: z.record(z.string(), axisValue),
});
const sideSchema: z.ZodType<readonly StageCall[]> = z.array(stageSchema).min(1);

/** An axis of an op: a row of the table, narrowed or not. */
const roleShape = {
  name: axisName,
  default: axisValue.optional(),
  follows: axisName.optional(),
  within: axisName.optional(),
  when: z.record(z.string(), z.array(axisValue)).optional(),
  tag: z.string().optional(),
  tags: z.record(z.string(), z.string()).optional(),
  aliases: z.record(z.string(), z.string()).optional(),
  isImplied: z.boolean().optional(),
  leads: z.boolean().optional(),
};
const axisSchema: z.ZodType<Axis> = z.discriminatedUnion("kind", [
  z.strictObject({
    ...{ kind: z.literal("integer"), step: z.int().positive(), min: z.int(), max: z.int() },
    ...roleShape,
  }),
  z.strictObject({ kind: z.literal("enum"), values: z.array(z.string()), ...roleShape }),
]);

const axesSchema: z.ZodType<readonly Axis[]> = z.array(axisSchema);

export const opSchema = z.strictObject({
  name: z.string(),
  axes: axesSchema,
  /** Of each side that has any. */
  stages: z.strictObject({ q: sideSchema.optional(), k: sideSchema.optional(), v: sideSchema.optional() }),
});

/** How a head lies over the lanes of a warp (CUDA). `generator/plan/plan.ts` decides it. */
const kernelSchema = z.strictObject({
  id: z.string(),
  /** The name of its op. */
  op: z.string(),
  point: z.strictObject(pointShape),
  /** What it is given, by the paths of `normrope_args`: `q.in`, `q.weight`, `positions`. */
  inputs: z.array(z.string()),
  /** How elements rotate, where any do. */
  pairing: z.strictObject({ rope: z.string(), rotaryDim: z.int().positive() }).optional(),
  /** Elements of one memory access. */
  vectorElements: z.int().positive(),
  /** Pairs of vectors that make up a head. */
  fragments: z.int().positive(),
  lanesPerHead: z.int().positive(),
  fragmentsPerLane: z.int().positive(),
  /** Heads that a warp works on at once. */
  headsPerWarp: z.int().positive(),
  blockThreads: z.int().positive(),
  /** How many ways there are for a head to lie: 2 where many tokens take another. */
  layouts: z.int().min(1).max(2),
});

/** What a manifest says of a kernel, of all that is known of it. */
export const manifestKernel = (kernel: ManifestKernel): ManifestKernel =>
  z.object(kernelSchema.shape).parse(kernel);

/** What ptxas says of a kernel on one architecture. */
const resourcesSchema = z.strictObject({
  arch: z.string(),
  registers: z.int(),
  stackBytes: z.int(),
  spillStoreBytes: z.int(),
  spillLoadBytes: z.int(),
});

const buildSchema = z.strictObject({
  target: z.enum(["cuda", "cpu"]),
  /** The compiler's own words about its version. */
  toolchain: z.string(),
  flags: z.array(z.string()),
  /** CUDA: the architectures that the library holds code for. */
  archs: z.array(z.string()),
  /** CPU: features, in the spelling of /proc/cpuinfo, without which the library must not be opened. */
  cpuFeatures: z.array(z.string()),
  cpuArch: z.string(),
  librarySha256: z.string(),
  resources: z.record(z.string(), z.array(resourcesSchema)),
});

export const manifestSchema = z.strictObject({
  abi: z.literal(ABI_VERSION),
  compiler: z.string(),
  /** By their names, which differ. */
  ops: z.array(opSchema),
  /** SHA-256 of the emitted sources, so that a library and a manifest can be told to belong together. */
  sourcesSha256: z.string(),
  kernels: z.array(kernelSchema),
});

/** `build/<target>/manifest.json`: the emitted manifest and what the build adds. */
export const builtManifestSchema = manifestSchema
  .extend({ build: buildSchema })
  .refine(({ ops, kernels }) => kernels.every(({ op }) => ops.some(({ name }) => name === op)), {
    ...{ path: ["kernels"], error: "a kernel is of an op that is not there" },
  });

/** What a kernel computes, over which axes. */
export type ManifestOp = z.infer<typeof opSchema>;
export type ManifestKernel = z.infer<typeof kernelSchema>;
export type Resources = z.infer<typeof resourcesSchema>;
export type Manifest = z.infer<typeof manifestSchema>;
/** What a built library holds, and how it was built. */
export type BuiltManifest = z.infer<typeof builtManifestSchema>;
/** Where a library runs. */
export type Target = BuiltManifest["build"]["target"];

/** A point as a caller writes it: axes at their default may be left out, and the op where a library holds one. */
export type PointQuery = Pick<AxisValues, OpAxisName> & {
  readonly [Name in keyof AxisValues]?: AxisValues[Name] | undefined;
} & {
  /** The name of an op of the library. */
  readonly op?: string | undefined;
};

/** What is to be known of an op to find its kernels. */
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

/** The op that a kernel computes. A manifest that was read has it. */
export function opOf<O extends { readonly name: string }>(
  ops: readonly O[],
  kernel: { readonly op: string },
): O {
  const op = ops.find(({ name }) => name === kernel.op);
  if (op === undefined) throw new RangeError(`${kernel.op} is none of ${ops.map(({ name }) => name).join()}`);
  return op;
}
