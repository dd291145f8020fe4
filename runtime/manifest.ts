/**
 * The manifest: what a compiled library holds.
 *
 * In: JSON text. Out: checked, typed data, and the selection of a kernel by its config point.
 * Pure: must not touch files, the library or a device.
 */
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { NormropeError, quoted } from "./errors.js";

/** Version of the C ABI in normrope.h; a library of another one is refused. */
export const ABI_VERSION = 1;

/** The files that a build leaves in the folder of its target. */
export const LIBRARY_NAME = "libnormrope.so";
export const MANIFEST_NAME = "manifest.json";

/** One point of the config space: what a kernel is specialised for. */
export const configPointSchema = z.strictObject({
  /** Elements of one head. */
  headDim: z.int().positive(),
  /** Leading elements of a head that are rotated. */
  rotaryDim: z.int().positive(),
  rope: z.enum(["neox", "interleaved"]),
  /** Element type of q, k and the weights. */
  dtype: z.enum(["bf16", "f16"]),
});

/** What a stage is given: an input of the call, the point's value on an axis, or a constant of the op. */
const stageArgumentSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("input"), name: z.enum(["weight", "eps", "angle"]) }),
  z.strictObject({ kind: z.literal("axis"), axis: configPointSchema.keyof() }),
  z.strictObject({ kind: z.literal("constant"), value: z.number() }),
]);

/** One step of the op, in the order of application. */
const stageSchema = z.strictObject({ name: z.string(), args: z.record(z.string(), stageArgumentSchema) });

/** The values that an axis of the op can have. */
const axisRangeSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("integer"),
    name: configPointSchema.keyof(),
    step: z.int().positive(),
    min: z.int(),
    /** A number, or the axis whose value bounds this one. */
    max: z.union([z.int(), configPointSchema.keyof()]),
    default: configPointSchema.keyof().optional(),
  }),
  z.strictObject({
    kind: z.literal("enum"),
    name: configPointSchema.keyof(),
    values: z.array(z.string()),
  }),
]);

/** How a head lies over the lanes of a warp (CUDA). `generator/plan.ts` decides it. */
const kernelSchema = z.strictObject({
  id: z.string(),
  point: configPointSchema,
  /** Elements of one memory access. */
  vectorElements: z.int().positive(),
  /** Pairs of vectors that make up a head. */
  slots: z.int().positive(),
  lanesPerHead: z.int().positive(),
  slotsPerLane: z.int().positive(),
  /** Heads that a warp works on at once. */
  headsPerWarp: z.int().positive(),
  blockThreads: z.int().positive(),
});

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
  op: z.strictObject({ name: z.string(), axes: z.array(axisRangeSchema), stages: z.array(stageSchema) }),
  /** SHA-256 of the emitted sources, so that a library and a manifest can be told to belong together. */
  sourcesSha256: z.string(),
  kernels: z.array(kernelSchema),
});

/** `build/<target>/manifest.json`: the emitted manifest and what the build adds. */
const builtManifestSchema = manifestSchema.extend({ build: buildSchema });

/** One point of the config space: what a kernel is specialised for. */
export type ConfigPoint = Readonly<z.infer<typeof configPointSchema>>;
export type StageArgument = z.infer<typeof stageArgumentSchema>;
export type Stage = z.infer<typeof stageSchema>;
export type AxisRange = Readonly<z.infer<typeof axisRangeSchema>>;
export type ManifestKernel = z.infer<typeof kernelSchema>;
export type Resources = z.infer<typeof resourcesSchema>;
export type Manifest = z.infer<typeof manifestSchema>;
/** What a built library holds, and how it was built. */
export type BuiltManifest = z.infer<typeof builtManifestSchema>;
/** Where a library runs. */
export type Target = BuiltManifest["build"]["target"];

/** A point as a caller writes it: `rotaryDim` is `headDim` where it is left out. */
export type PointQuery = Omit<ConfigPoint, "rotaryDim"> & { readonly rotaryDim?: number | undefined };

/**
 * Reads the text of a built library's manifest.
 * @throws NormropeError `library-invalid` where it is not one; `where` names the file in the message.
 */
export function parseBuiltManifest(text: string, where: string): BuiltManifest {
  const rebuild = "Run `normrope build` to make the library anew";
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new NormropeError("library-invalid", `${quoted(where)} is not JSON`, rebuild, { cause });
  }
  const result = builtManifestSchema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const place = issue === undefined || issue.path.length === 0 ? "the whole" : issue.path.join(".");
  const problem = `${quoted(place)}: ${quoted(issue?.message ?? "")}`;
  const message = `${quoted(where)} is not a manifest of this version: ${problem}`;
  throw new NormropeError("library-invalid", message, rebuild);
}

/** Whether a manifest says of the kernels what the library has in itself, which the compiler wrote into it. */
export function describesLibrary({ build: _, ...manifest }: BuiltManifest, embedded: string): boolean {
  const own = manifestSchema.safeParse(JSON.parse(embedded));
  return own.success && isDeepStrictEqual(own.data, manifest);
}

/** The value that each argument of a stage has at a point; inputs of the call stay as their names. */
export function resolveStageArgs(stage: Stage, point: ConfigPoint): Record<string, string | number> {
  return Object.fromEntries(
    Object.entries(stage.args).map(([name, argument]) => [name, resolveArgument(argument, point)]),
  );
}

function resolveArgument(argument: StageArgument, point: ConfigPoint): string | number {
  switch (argument.kind) {
    case "input":
      return argument.name;
    case "axis":
      return point[argument.axis];
    case "constant":
      return argument.value;
    default:
      return argument satisfies never;
  }
}

/** The index of the kernel for a point, or -1. */
export function findKernel(kernels: readonly ManifestKernel[], query: PointQuery): number {
  const rotaryDim = query.rotaryDim ?? query.headDim;
  return kernels.findIndex(
    ({ point }) =>
      point.headDim === query.headDim &&
      point.rotaryDim === rotaryDim &&
      point.rope === query.rope &&
      point.dtype === query.dtype,
  );
}
