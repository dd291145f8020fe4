/**
 * A built library → the view of its report.
 *
 * In: the manifest, what was found and verified on this machine, a benchmark record. Out: the view of
 * templates/report. Pure.
 */
import { AXES } from "../../dsl/axes.js";
import type { BuiltManifest, ManifestKernel } from "../../dsl/manifest.js";
import { telling, valueOn } from "../../dsl/points.js";
import { sideTexts } from "../../dsl/sides.js";
import type { DeviceInfo } from "../../runtime/open_library.js";
import { chartSvg } from "../bench/chart.js";
import { benchCharts } from "../bench/charts.js";
import type { BenchRecord } from "../bench/record.js";
import { counted } from "../diagnostics.js";
import type { View } from "../emit/view.js";
import { bytesPerHead } from "../plan/lanes.js";
import type { KernelResult } from "../verify/verify.js";
import { pictureView } from "./lane_view.js";

export interface Report {
  readonly manifest: BuiltManifest;
  readonly libraryPath: string;
  readonly libraryBytes: number;
  readonly devices: readonly DeviceInfo[];
  readonly verification: Verification;
  readonly bench: BenchRecord | undefined;
}

export type Verification =
  | { readonly kind: "done"; readonly results: readonly KernelResult[] }
  | { readonly kind: "left-out"; readonly why: string };

export function reportView(report: Report): View {
  const { manifest, bench } = report;
  const { build, kernels } = manifest;
  const groups = columnGroups(report);
  const columns = groups.flatMap(({ columns }) => columns);
  return {
    title: `${manifest.ops.map(({ name }) => name).join(", ")} for ${build.target === "cuda" ? "CUDA" : "the CPU"}`,
    compiler: manifest.compiler,
    tiles: tiles(report),
    facts: facts(report),
    isCpu: build.target === "cpu",
    groups: groups.map(({ name, columns }) => ({ name, span: columns.length })),
    columns: columns.map(({ name, kind }) => ({ name, kind })),
    rows: kernels.map((kernel) => ({
      id: kernel.id,
      cells: columns.map(({ kind, text, tone = () => kind }) => ({
        kind: tone(kernel),
        text: text(kernel),
      })),
    })),
    verification: verificationText(report),
    failures: failuresOf(report.verification),
    pictures: kernels.map(pictureView),
    bench: bench === undefined ? [] : [benchView(bench)],
  };
}

interface Column {
  readonly name: string;
  readonly kind: "number" | "text";
  readonly text: (kernel: ManifestKernel) => string;
  /** The mark of a cell that depends on its kernel. */
  readonly tone?: ((kernel: ManifestKernel) => string) | undefined;
}

interface ColumnGroup {
  readonly name: string;
  readonly columns: readonly Column[];
}

function columnGroups({ manifest, verification }: Report): readonly ColumnGroup[] {
  const of =
    (kind: Column["kind"]) =>
    (name: string, text: Column["text"]): Column => ({ name, kind, text });
  const [number, text] = [of("number"), of("text")];
  const { kernels } = manifest;
  const { archs, resources } = manifest.build;
  const groups: ColumnGroup[] = [
    {
      name: "Point",
      columns: telling(
        AXES,
        kernels.map(({ point }) => point),
      ).map((axis) => {
        const column = axis.kind === "integer" ? number : text;
        return column(axis.name, ({ point }) => `${valueOn(axis, point) ?? ""}`);
      }),
    },
  ];
  if (verification.kind === "done") {
    const result = (show: (result: KernelResult) => string) => (kernel: ManifestKernel) => {
      const found = verification.results.find(({ id }) => id === kernel.id);
      return found === undefined ? "" : show(found);
    };
    groups.push({
      name: "Verification",
      columns: [
        number(
          "cases",
          result(({ cases }) => `${cases}`),
        ),
        number(
          "maxError",
          result(({ maxError }) => maxError.toFixed(3)),
        ),
        number(
          "relError",
          result(({ relError }) => relError.toExponential(2)),
        ),
        {
          ...text(
            "result",
            result(({ pass }) => (pass ? "passes" : "FAILS")),
          ),
          tone: result(({ pass }) => (pass ? "passes" : "fails")),
        },
      ],
    });
  }
  if (archs.length > 0) {
    groups.push({
      name: "Registers / stack B / spilled B",
      columns: archs.map((arch) =>
        number(arch, ({ id }) => {
          const found = resources[id]?.find((candidate) => candidate.arch === arch);
          if (found === undefined) return "not reported";
          return `${found.registers} / ${found.stackBytes} / ${found.spillStoreBytes + found.spillLoadBytes}`;
        }),
      ),
    });
  }
  groups.push({
    name: "Geometry and launch",
    columns: [
      number("vector elements", ({ vectorElements }) => `${vectorElements}`),
      number("lanes a\u00a0head", ({ lanesPerHead }) => `${lanesPerHead}`),
      number("fragments a\u00a0lane", ({ fragmentsPerLane }) => `${fragmentsPerLane}`),
      number("heads a\u00a0warp", ({ headsPerWarp }) => `${headsPerWarp}`),
      number("threads a\u00a0block", ({ blockThreads }) => `${blockThreads}`),
      number("bytes a\u00a0head", (kernel) => [...new Set(Object.values(bytesPerHead(kernel)))].join("/")),
    ],
  });
  return groups;
}

function tiles({ manifest, libraryBytes, verification }: Report): View[] {
  const { kernels, build } = manifest;
  const tile = (name: string, value: string, note: string, kind = "plain") => ({ name, value, note, kind });
  const found = Object.values(build.resources).flat();
  const spills = found.some((one) => one.spillStoreBytes + one.spillLoadBytes > 0);
  const registers = tile(
    "Registers",
    `${Math.max(...found.map((one) => one.registers))}`,
    spills ? "at most; some are spilled" : "at most; none spilled",
    spills ? "bad" : "plain",
  );
  return [
    tile("Kernels", `${kernels.length}`, build.target === "cuda" ? build.archs.join(", ") : build.cpuArch),
    ...verificationTiles(verification),
    ...(found.length === 0 ? [] : [registers]),
    tile("Library", size(libraryBytes), build.librarySha256.slice(0, 12)),
  ];
}

function verificationTiles(verification: Verification): View[] {
  if (verification.kind === "left-out") {
    return [{ name: "Verified", value: "not run", note: "see below", kind: "plain" }];
  }
  const { results } = verification;
  const passed = results.filter(({ pass }) => pass).length;
  const kind = passed === results.length ? "good" : "bad";
  const maxError = Math.max(...results.map((result) => result.maxError)).toFixed(3);
  return [
    { name: "Verified", value: `${passed} of ${results.length}`, note: "kernels pass", kind },
    { name: "Largest error", value: maxError, note: "at most 1 is allowed", kind },
  ];
}

function facts({ manifest, libraryPath, libraryBytes, devices }: Report): View[] {
  const { build, compiler, ops } = manifest;
  const cpu = `${build.cpuArch}: ${build.cpuFeatures.join(" ")}`;
  return [
    ...ops.map(({ name, stages }) => ({ name: "Op", value: `${name}: ${sideTexts(stages).join("; ")}` })),
    { name: "Target", value: build.target },
    {
      name: devices.length > 1 ? "Devices" : "Device",
      value: devices.length === 0 ? "none on this machine" : devices.map(deviceText).join("; "),
    },
    build.target === "cuda"
      ? { name: "Architectures", value: build.archs.join(", ") }
      : { name: "CPU features", value: cpu },
    { name: "Toolchain", value: toolchainText(build.toolchain) },
    { name: "Compiler", value: compiler },
    { name: "Library", value: `${libraryPath}, ${libraryBytes} bytes` },
    { name: "SHA-256", value: build.librarySha256 },
  ];
}

function deviceText({ name, arch, multiprocessors, memoryBytes }: DeviceInfo): string {
  const units = counted(multiprocessors, arch === "" ? "hardware thread" : "multiprocessor");
  const parts = [arch, units, `${(memoryBytes / 2 ** 30).toFixed(0)} GiB`].filter((part) => part !== "");
  return `${name} (${parts.join(", ")})`;
}

/** A compiler's version text without the copyright. */
function toolchainText(toolchain: string): string {
  const telling = toolchain.split("\n").filter((line) => /\d\.\d/.test(line));
  return (telling.length === 0 ? toolchain.split("\n").slice(0, 1) : telling).join("; ");
}

/** How the verification went, in a sentence. */
export function verificationText({ manifest, devices, verification }: Omit<Report, "bench">): string {
  switch (verification.kind) {
    case "left-out":
      return `Not verified: ${verification.why}${verification.why.endsWith(".") ? "" : "."}`;
    case "done": {
      const passed = verification.results.filter(({ pass }) => pass).length;
      return `${passed} of ${manifest.kernels.length} kernels pass on ${devices[0]?.name ?? "no device"}.`;
    }
    default:
      return verification satisfies never;
  }
}

function failuresOf(verification: Verification): View[] {
  if (verification.kind === "left-out") return [];
  return verification.results
    .filter(({ pass }) => !pass)
    .map(({ id, failures }) => ({ id, what: failures.join("; ") }));
}

function benchView({ device, driver, toolkit, commit, date, method, rows }: BenchRecord): View {
  return {
    facts: [
      { name: "Device", value: device },
      { name: "Driver", value: driver },
      { name: "Toolkit", value: toolkit },
      { name: "Commit", value: commit },
      { name: "Date", value: date },
      { name: "Method", value: method },
    ],
    geometries: benchCharts(rows).map(({ title, time, ratio }) => ({
      title,
      time: chartSvg(time),
      ratio: chartSvg(ratio),
    })),
  };
}

function size(bytes: number): string {
  return bytes < 2 ** 20 ? `${(bytes / 2 ** 10).toFixed(1)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
