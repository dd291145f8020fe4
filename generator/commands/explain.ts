/** `normrope explain`: how one kernel works, in numbers and in a picture of its lanes. */
import type { Argv } from "yargs";
import { AXES } from "../../dsl/axes.js";
import { SIDES } from "../../dsl/inputs.js";
import { completed, telling, valueOn } from "../../dsl/points.js";
import { listed } from "../../dsl/sides.js";
import { absenceOf } from "../../runtime/support.js";
import { counted, show, userError } from "../diagnostics.js";
import type { KernelPlan, Layout } from "../ir.js";
import { opId, parseKernelId } from "../kernel_id.js";
import { closest } from "../load/closest.js";
import type { Compilation } from "../pipeline.js";
import { bytesPerHead, lanePicture, laneVectors, vectorBytes } from "../plan/lanes.js";
import { idleLanes } from "../plan/plan.js";
import { type Io, printJson, printTable } from "./io.js";
import { configOption, jsonOption, projectFolders } from "./project.js";

export function registerExplain(cli: Argv, io: Io): Argv {
  return cli.command(
    "explain <kernel>",
    "Show how a kernel lies over the lanes, what it moves and what it takes",
    (command) =>
      jsonOption(configOption(command))
        .positional("kernel", {
          type: "string",
          demandOption: true,
          describe: "A kernel id, as `list` shows it",
        })
        .example("$0 explain qk_norm_rope__bf16_d128_r128_neox", "The kernel of Qwen3"),
    async ({ config, kernel, json }) => {
      const [{ compile }, { readBuiltManifest }] = await Promise.all([
        import("../pipeline.js"),
        import("../build/publish.js"),
      ]);
      const compilation = compile(config);
      const plan = compilation.plans.find(({ id }) => id === kernel) ?? missing(kernel, config, compilation);
      const resources =
        readBuiltManifest(projectFolders(config).build, "cuda")?.build.resources[plan.id] ?? [];
      const bytes = bytesPerHead(plan);
      if (json) {
        return printJson(io, { ...plan, bytesPerHead: bytes, vectors: laneVectors(plan), resources });
      }
      printTable(io, [
        ["kernel", plan.id],
        [
          "point",
          telling(AXES, [plan.point])
            .map((axis) => `${axis.name} ${valueOn(axis, plan.point)}`)
            .join(", "),
        ],
        ...plan.bodies.map(({ sides, expression }) => [listed(sides), expression]),
        ["vectors", `${plan.vectorElements} elements, ${vectorBytes(plan)} bytes an access`],
        ["fragments", `${plan.fragments} of two vectors each${plan.pairing === undefined ? "" : PAIRS_TEXT}`],
        ["lanes", lanesText(plan, plan.fragments)],
        ["", `for many tokens: ${manyText(plan)}`],
        ["launch", `${headsText(plan)}, ${plan.blockThreads} threads a block`],
        ["bytes", bytesText(bytes, plan.inputs.includes("slots"))],
        ["registers", resources.length === 0 ? "not known before `normrope build --target cuda`" : ""],
        ...resources.map(({ arch, registers, stackBytes, spillStoreBytes, spillLoadBytes }) => [
          `  ${arch}`,
          `${registers} registers, ${stackBytes} bytes of stack, ${spillStoreBytes + spillLoadBytes} bytes spilled`,
        ]),
      ]);
      for (const line of ["", ...lanePicture(plan)]) io.print(line);
    },
  );
}

const PAIRS_TEXT = "; the members of a pair are in one fragment, so in one lane";

/** The heads of a typical model with grouped queries. */
const HEADS = { q: 32, k: 8, v: 8 } as const;

function bytesText(bytes: ReturnType<typeof bytesPerHead>, hasCache: boolean): string {
  const sides = SIDES.filter((side) => bytes[side] !== undefined);
  const ofToken = sides.reduce((sum, side) => sum + HEADS[side] * (bytes[side] ?? 0), 0);
  const kinds = [...new Set(sides.map((side) => bytes[side]))];
  const ofSides = (kind: number | undefined) =>
    kinds.length === 1 ? "" : ` of ${listed(sides.filter((side) => bytes[side] === kind))}`;
  const ofHead = kinds.map((kind) => `${kind}${ofSides(kind)}`).join(", ");
  const heads = listed(sides.map((side) => `${HEADS[side]} ${side}`));
  return `${ofHead} a head (read and written${hasCache ? ", without outputs beside a cache" : ""}): ${ofToken} a token of ${heads} heads`;
}

function lanesText(layout: Layout, fragments: number): string {
  const { lanesPerHead, fragmentsPerLane } = layout;
  const idle = counted(idleLanes(layout, fragments), "lane");
  return `${lanesPerHead} a head with ${counted(fragmentsPerLane, "fragment")} each, ${idle} of a warp left over`;
}

function manyText({ throughput, fragments, lanesPerHead }: KernelPlan): string {
  const lanes = throughput.lanesPerHead === lanesPerHead ? "the same" : lanesText(throughput, fragments);
  return `${lanes}, and all heads of a task are copied to shared memory first`;
}

function headsText({ headsPerWarp, throughput }: KernelPlan): string {
  const many = throughput.headsPerWarp === headsPerWarp ? "" : `, for many tokens ${throughput.headsPerWarp}`;
  return `${headsPerWarp} heads a warp at once${many}`;
}

function missing(kernel: string, config: string, { ops, plans }: Compilation): never {
  const message = `the config asks for no kernel ${show(kernel)}`;
  const parsed = parseKernelId(kernel);
  const op = ops.find((candidate) => opId(candidate) === parsed?.op);
  const hasAxes = Object.keys(parsed?.values ?? {}).every((name) =>
    op?.axes.some((axis) => axis.name === name),
  );
  if (parsed !== undefined && op !== undefined && hasAxes) {
    const held = { op, kernels: plans, isOneOfSeveral: ops.length > 1 };
    const point = completed(op.axes, parsed.values);
    throw userError("bad-option", message, absenceOf(config, held, point, config).fix);
  }
  // Users forget the digest after an op's name.
  const named = plans.filter((plan) => plan.op === parsed?.op);
  const ids = plans.map(({ id }) => id);
  const own = named.find(({ id }) => id.split("__")[1] === kernel.split("__")[1]);
  const near = own?.id ?? closest(kernel, named.length > 0 ? named.map(({ id }) => id) : ids);
  const all = `\`normrope list\` shows its ${counted(ids.length, "kernel")}`;
  throw userError("bad-option", message, near === undefined ? all : `did you mean ${near}?`);
}
