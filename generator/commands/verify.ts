/** `normrope verify`: checks every kernel of a built library against the float64 oracle. */
import { existsSync } from "node:fs";
import type { Argv } from "yargs";
import type { BuiltManifest } from "../../dsl/manifest.js";
import { counted, quoted } from "../diagnostics.js";
import { type Io, printJson, printTable } from "./io.js";
import {
  configOption,
  jsonOption,
  openProject,
  requireDevice,
  targetOption,
  verifyWithNotes,
} from "./project.js";

export function registerVerify(cli: Argv, io: Io, fail: () => void): Argv {
  return cli.command(
    "verify",
    "Run every kernel of a built library against the float64 oracle",
    (command) => targetOption(jsonOption(configOption(command))),
    async ({ config, target, json }) => {
      using library = await openProject(config, target);
      const { name } = requireDevice(library, "verify");
      const total = library.manifest.kernels.length;
      await noteMissingKernels(config, library.manifest, io);
      const results = await verifyWithNotes(library, io);
      if (!results.every(({ pass }) => pass)) fail();
      if (json) {
        const kernels = results.map(({ failures: _, ...result }) => result);
        return printJson(io, { target: library.target, device: name, kernels });
      }
      printTable(io, [
        ["kernel", "cases", "maxError", "relError", ""],
        ...results.map(({ id, cases, maxError, relError, pass, failures }) => [
          id,
          `${cases}`,
          maxError.toFixed(3),
          relError.toExponential(2),
          pass ? "passes" : `FAILS: ${failures.join("; ")}`,
        ]),
      ]);
      const passed = results.filter(({ pass }) => pass).length;
      io.print(
        `${passed} of ${counted(total, "kernel")} ${total === 1 ? "passes" : "pass"} on ${name} (maxError is in multiples of what rounding may do)`,
      );
    },
  );
}

/** Warns of kernels that the config asks for and the library lacks. */
async function noteMissingKernels(config: string, { kernels }: BuiltManifest, io: Io): Promise<void> {
  if (!existsSync(config)) return;
  const { compile } = await import("../pipeline.js");
  const built = new Set(kernels.map(({ id }) => id));
  const missing = compile(config).plans.filter(({ id }) => !built.has(id));
  if (missing.length === 0) return;
  io.note(
    `${quoted(config)} asks for ${counted(missing.length, "kernel")} that the library does not hold: run \`normrope build\``,
  );
}
