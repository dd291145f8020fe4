/**
 * The table of the C interface's functions.
 *
 * In: nothing. Out: result and arguments of each, by its name without `normrope_`. The header's prototypes and the
 * runtimes' bindings are made from these rows. The header's template documents them.
 */

/** The type of the result, and of each argument with its name. */
export type Prototype = readonly [result: "int" | "const char *", ...args: readonly string[]];

const KERNEL = "int kernel";
const ARGS = "const normrope_args *args";
const STREAM = "void *stream";

export const FUNCTIONS = {
  abi: ["int"],
  manifest: ["const char *"],
  kernel_count: ["int"],
  find: ["int", "const char *kernel_id"],
  kernel_id: ["const char *", KERNEL],
  prepare: ["int", KERNEL],
  check: ["int", KERNEL, ARGS],
  launch_info: ["int", KERNEL, ARGS, "normrope_launch *launch"],
  run: ["int", KERNEL, ARGS, STREAM],
  status_text: ["const char *", "int status"],
  last_error: ["const char *"],
  last_error_field: ["const char *"],
  last_error_value: ["const char *"],
  last_error_wanted: ["const char *"],
  rope_table: ["int", "const double *inv_freq", "int32_t n", "uint64_t *table"],
  device_count: ["int", "int *count"],
  device_get: ["int", "int *device"],
  device_set: ["int", "int device"],
  device_get_info: ["int", "int device", "normrope_device_info *info"],
  memory_allocate: ["int", "size_t bytes", "void **memory"],
  memory_free: ["int", "void *memory"],
  memory_fill: ["int", "void *memory", "int byte", "size_t bytes", STREAM],
  copy_to_device: ["int", "void *device", "const void *host", "size_t bytes", STREAM],
  copy_to_host: ["int", "void *host", "const void *device", "size_t bytes", STREAM],
  copy_on_device: ["int", "void *to", "const void *from", "size_t bytes", STREAM],
  stream_create: ["int", "void **stream"],
  stream_destroy: ["int", STREAM],
  stream_synchronize: ["int", STREAM],
  event_create: ["int", "void **event"],
  event_destroy: ["int", "void *event"],
  event_record: ["int", "void *event", STREAM],
  event_elapsed: ["int", "float *milliseconds", "void *start", "void *end"],
} as const satisfies Readonly<Record<string, Prototype>>;

export type FunctionName = keyof typeof FUNCTIONS;

export const FUNCTION_NAMES = Object.keys(FUNCTIONS) as FunctionName[];

/** How a function is bound: the kind of a value for a caller without C types. */
export type Kind = "int" | "size_t" | "text" | "pointer";

/** The kind of the result and of each argument. */
export function kindsOf(name: FunctionName): readonly [result: Kind, ...args: Kind[]] {
  const [result, ...args]: Prototype = FUNCTIONS[name];
  return [kindOf(result), ...args.map(kindOf)];
}

function kindOf(declared: string): Kind {
  if (/^const char \*/.test(declared)) return "text";
  if (declared.includes("*")) return "pointer";
  return declared.startsWith("size_t") ? "size_t" : "int";
}

/** The declaration in the header. */
export function prototypeOf(name: FunctionName): string {
  const [result, ...args]: Prototype = FUNCTIONS[name];
  return `${result}${result.endsWith("*") ? "" : " "}normrope_${name}(${args.join(", ") || "void"});`;
}
