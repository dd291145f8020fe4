/** `normrope report`: a built library on one HTML page, verified if it runs on this machine. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Argv } from "yargs";
import { type BuiltManifest, LIBRARY_NAME, type Target } from "../../dsl/manifest.js";
import { NormropeError } from "../../runtime/errors.js";
import { chosenTarget } from "../../runtime/open.js";
import type { DeviceInfo } from "../../runtime/open_library.js";
import { type BenchRecord, parseBenchRecord } from "../bench/record.js";
import { counted, quoted, reasonOf, userError } from "../diagnostics.js";
import { type Report, reportView, type Verification, verificationText } from "../report/view.js";
import type { Io } from "./io.js";
import { textOption } from "./options.js";
import { requirePlace, writeWhole } from "./output.js";
import { configOption, openProject, projectFolders, targetOption, verifyWithNotes } from "./project.js";

export function registerReport(cli: Argv, io: Io, fail: () => void): Argv {
  return cli.command(
    "report",
    "Write a page about a built library: kernels, lanes, verification, benchmarks",
    (command) =>
      targetOption(configOption(command))
        .option("out", textOption("The page; default: report.html beside the library"))
        .option(
          "bench",
          textOption("A benchmark record to draw; default: bench.json beside the library, if it exists"),
        )
        .option("verify", {
          type: "boolean",
          default: true,
          describe: "Run every kernel against the oracle; --no-verify leaves it out",
        }),
    async ({ config, target, out, bench, verify }) => {
      const { build } = projectFolders(config);
      const folder = join(build, chosenTarget(target));
      const page = out ?? join(folder, "report.html");
      if (out !== undefined) requirePlace(out);
      const record = readRecord(bench, join(folder, "bench.json"));
      const report = { ...(await examine(config, target, verify, io)), bench: record };
      const [{ renderReport }, { readTemplates }] = await Promise.all([
        import("../emit/render.js"),
        import("../emit/templates.js"),
      ]);
      writeWhole(page, renderReport(readTemplates(), reportView(report)));
      const { verification, manifest } = report;
      if (verification.kind === "done" && !verification.results.every(({ pass }) => pass)) fail();
      const kernels = counted(manifest.kernels.length, "kernel");
      io.print(`${quoted(page)} shows ${kernels}. ${verificationText(report)}`);
    },
  );
}

/** The data of the report; with verification if the library's device is present. */
async function examine(
  config: string,
  target: Target | "auto",
  verify: boolean,
  io: Io,
): Promise<Omit<Report, "bench">> {
  const { build } = projectFolders(config);
  const libraryPath = join(build, chosenTarget(target), LIBRARY_NAME);
  const leftOut = (why: string): Verification => ({ kind: "left-out", why });
  const found = (manifest: BuiltManifest, devices: readonly DeviceInfo[], verification: Verification) => {
    const libraryBytes = statSync(libraryPath).size;
    return { manifest, devices, verification, libraryPath, libraryBytes };
  };
  try {
    using library = await openProject(config, target);
    const { manifest, devices } = library;
    if (!verify) return found(manifest, devices, leftOut("--no-verify was given"));
    if (devices.length === 0) {
      return found(manifest, devices, leftOut("no GPU was found that this library can run on"));
    }
    return found(manifest, devices, { kind: "done", results: await verifyWithNotes(library, io) });
  } catch (error) {
    if (!(error instanceof NormropeError) || error.code !== "cpu-unsupported") throw error;
    const { readBuiltManifest } = await import("../build/publish.js");
    const manifest = readBuiltManifest(build, chosenTarget(target));
    if (manifest === undefined) throw error;
    return found(manifest, [], leftOut(error.message));
  }
}

function readRecord(named: string | undefined, usual: string): BenchRecord | undefined {
  const path = named ?? usual;
  if (named === undefined && !existsSync(path)) return undefined;
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    const message = `--bench ${quoted(path)} cannot be read: ${reasonOf(cause)}`;
    throw userError("bad-option", message, "name the record of a benchmark");
  }
  return parseBenchRecord(text, path);
}
