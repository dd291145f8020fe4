/**
 * Compiles kernels on first use.
 *
 * In: a point that an open library lacks. Out: a library that holds it, loaded, or a typed error. The runtime's only
 * dynamic import loads the compiler, so programs that open a built library never load it.
 */
import type { ConfigPoint, ManifestOp, Target } from "../dsl/manifest.js";
import { type ErrorCode, NormropeError } from "./errors.js";
import { loadLibrary, type NativeLibrary } from "./library.js";
import type { Absence } from "./support.js";

interface Wanted {
  readonly target: Target;
  /** Default: the op that ships. */
  readonly op?: ManifestOp | undefined;
  /** Undefined: a library without kernels. */
  readonly point?: ConfigPoint | undefined;
  /** The device's architecture, such as `sm_90`; empty or undefined if there is no device. */
  readonly arch?: string | undefined;
}

/**
 * @throws NormropeError `kernel-not-found` if compiling is forbidden or impossible, `compile-failed`,
 * `cache-unusable`, `invalid-argument` for a NORMROPE_JIT that is neither 0 nor 1.
 */
export async function compileKernel(wanted: Wanted, absence: Absence): Promise<NativeLibrary> {
  const found = await provide(wanted);
  if (!("reason" in found)) return found;
  const message = `${absence.reason}, and it is not compiled now: ${found.reason}`;
  throw new NormropeError("kernel-not-found", message, `${sentence(found.fix)}. Or: ${absence.fix}`);
}

/**
 * A library without kernels, for memory, devices and streams, if none was built.
 * @param notFound The error if there is no such library either.
 * @throws NormropeError `library-not-found`, `compile-failed`.
 */
export async function compileBase(target: Target, notFound: NormropeError): Promise<NativeLibrary> {
  const found = await provide({ target });
  if (!("reason" in found)) return found;
  const message = `${notFound.message}. None is made now either: ${found.reason}`;
  throw new NormropeError("library-not-found", message, sentence(found.fix));
}

/** A reason and its fix. */
type Miss = Pick<Absence, "reason" | "fix">;

async function provide({ target, op, point, arch }: Wanted): Promise<NativeLibrary | Miss> {
  const { provideLibrary, UserError } = await import("../generator/jit/jit.js");
  const archs = arch ? [arch] : undefined;
  try {
    const found = await provideLibrary({ target, op, point, archs, load: loadLibrary });
    return "reason" in found ? found : loadLibrary(found.library);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const message = error.diagnostics.map((diagnostic) => diagnostic.message).join("; ");
    const fixes = new Set(error.diagnostics.map((diagnostic) => diagnostic.fix));
    throw new NormropeError(codeOf(error.diagnostics), message, sentence([...fixes].join("; ")), {
      cause: error,
    });
  }
}

function codeOf([first]: readonly { readonly code: string }[]): ErrorCode {
  if (first?.code === "cache-unusable") return "cache-unusable";
  return first?.code === "bad-option" ? "invalid-argument" : "compile-failed";
}

const sentence = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
