/** `normrope verify`: every kernel of a built library against the float64 oracle, on this machine. */
import type { Argv } from "yargs";
import { open } from "../../runtime/index.js";
import { type Io, printJson, printTable } from "./io.js";
import { configOption, jsonOption, projectFolders, targetOption, verifyWithNotes } from "./project.js";

export function registerVerify(cli: Argv, io: Io, fail: () => void): Argv {
  return cli.command(
    "verify",
    "Run every kernel of a built library against the float64 oracle",
    (command) => targetOption(jsonOption(configOption(command))),
    async ({ config, target, json }) => {
      using library = await open({ target, path: projectFolders(config).build });
      const [device] = library.devices;
      const name = device?.name ?? "no device";
      const total = library.manifest.kernels.length;
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
        `${passed} of ${total} kernels pass on ${name} (maxError is in multiples of what rounding may do)`,
      );
    },
  );
}
