/** `normrope list`: the kernels that a config asks for, or those that the rules forbid. */
import { availableParallelism } from "node:os";
import type { Argv } from "yargs";
import { AXES } from "../../dsl/axes.js";
import { telling, valueOn } from "../../dsl/points.js";
import { counted } from "../diagnostics.js";
import { type Io, printJson, printTable } from "./io.js";
import { configOption, jsonOption } from "./project.js";

export function registerList(cli: Argv, io: Io): Argv {
  return cli.command(
    "list",
    "Show the kernels that the config asks for",
    (command) =>
      jsonOption(configOption(command))
        .option("rejected", {
          type: "boolean",
          default: false,
          describe: "Show the combinations that a rule forbids, with the reason",
        })
        .example("$0 list --rejected", "Why is a combination missing?"),
    async ({ config, json, rejected }) => {
      const { compile } = await import("../pipeline.js");
      const { plans, rejections } = compile(config);
      if (rejected) {
        const rows = rejections.map(({ id, op, point, ...rejection }) => ({
          id,
          op,
          ...point,
          ...rejection,
        }));
        if (json) return printJson(io, rows);
        if (rows.length === 0) return io.print("Nothing is rejected.");
        return printTable(io, [
          ["kernel", "rule", "reason"],
          ...rows.map((row) => [row.id, row.rule, row.reason]),
        ]);
      }
      if (json)
        return printJson(
          io,
          plans.map(({ id, op, point }) => ({ id, op, ...point })),
        );
      const axes = telling(
        AXES,
        plans.map(({ point }) => point),
      );
      printTable(io, [
        ["kernel", ...axes.map(({ name }) => name)],
        ...plans.map(({ id, point }) => [id, ...axes.map((axis) => `${valueOn(axis, point) ?? ""}`)]),
      ]);
      for (const line of sizeOf(plans.length, availableParallelism())) io.note(line);
    },
  );
}

/** Seconds of one core for a kernel (nvcc 13.0 and g++ 12 on an Intel Xeon, November 2026). */
const SECONDS = { cuda: 1, cpu: 0.15 } as const;

/** More kernels are usually a mistake. */
const LARGE_SPACE = 100;

/** The number of kernels and their estimated build time, in words, with a warning if they are very many. */
export function sizeOf(kernels: number, cores: number): string[] {
  const time = (seconds: number) => {
    const total = Math.ceil((kernels * seconds) / cores);
    return total < 100 ? `${total} s` : `${Math.ceil(total / 60)} minutes`;
  };
  const onCores = `on ${counted(cores, "core")}, without what the cache holds`;
  const size = `${counted(kernels, "kernel")}: about ${time(SECONDS.cuda)} to build for CUDA, ${time(SECONDS.cpu)} for the CPU (${onCores})`;
  const large =
    "warning: every value of an axis is combined with every value of the others; write a list of entries for fewer kernels";
  return kernels > LARGE_SPACE ? [size, large] : [size];
}
