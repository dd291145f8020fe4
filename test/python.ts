/** Python for the tests: whether there is one, what it can import, and the package on its path. */
import { join } from "node:path";
import { execa } from "execa";
import { PACKAGE_ROOT } from "../generator/package_root.js";

const PROBE = `
import importlib.util, json, sys
has_torch = importlib.util.find_spec("torch") is not None
has_gpu = False
if has_torch:
    import torch
    has_gpu = torch.cuda.is_available()
print(json.dumps({"isNewEnough": sys.version_info >= (3, 10), "hasTorch": has_torch, "hasGpu": has_gpu}))
`;

interface Python {
  readonly path: string;
  readonly hasTorch: boolean;
  readonly hasGpu: boolean;
}

/** `NORMROPE_PYTHON`, else `python3`: undefined where it is not there, or older than 3.10. */
async function findPython(): Promise<Python | undefined> {
  const path = process.env.NORMROPE_PYTHON ?? "python3";
  const { stdout, exitCode } = await execa(path, ["-c", PROBE], { reject: false });
  if (exitCode !== 0) return undefined;
  const { isNewEnough, hasTorch, hasGpu } = JSON.parse(stdout);
  return isNewEnough ? { path, hasTorch, hasGpu } : undefined;
}

export const python = await findPython();

export async function canImport(module: string): Promise<boolean> {
  if (python === undefined) return false;
  return (await execa(python.path, ["-c", `import ${module}`], { reject: false })).exitCode === 0;
}

/** What the package and its tests are imported from. */
export const PYTHON_FOLDER = join(PACKAGE_ROOT, "python");
export const pythonEnvironment = {
  PYTHONPATH: PYTHON_FOLDER,
  PYTHONDONTWRITEBYTECODE: "1",
};
