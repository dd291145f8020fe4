/** `normrope chart`: a benchmark record as SVG charts and a summary. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Argv } from "yargs";
import { chartSvg } from "../bench/chart.js";
import { benchCharts } from "../bench/charts.js";
import { parsePeers } from "../bench/peers.js";
import { parseBenchRecord } from "../bench/record.js";
import { summarize } from "../bench/summary.js";
import { quoted, reasonOf, show, userError } from "../diagnostics.js";
import type { Io } from "./io.js";
import { textOption } from "./options.js";
import { requireFolder, writeWhole } from "./output.js";

export function registerChart(cli: Argv, io: Io): Argv {
  return cli.command(
    "chart <record>",
    "Draw a benchmark record, and sum it up",
    (command) =>
      command
        .positional("record", { type: "string", demandOption: true, describe: "What `normrope bench` wrote" })
        .option("out", textOption("A folder for the charts, made if it is missing; default: none are drawn"))
        .option("geometry", textOption("Draw only this one, such as d128_r128_neox_h32-8-8"))
        .option("peers", textOption("Times of other kernels to draw beside it")),
    ({ record: recordPath, out, geometry, peers: peersPath }) => {
      const record = parseBenchRecord(readNamed(recordPath), recordPath);
      const peers = peersPath === undefined ? undefined : parsePeers(readNamed(peersPath), peersPath);
      const all = benchCharts(record.rows, peers);
      const drawn = all.filter(({ id }) => geometry === undefined || id === geometry);
      if (geometry !== undefined && drawn.length === 0) {
        const known = all.map(({ id }) => id).join(", ");
        throw userError(
          "bad-option",
          `--geometry ${show(geometry)} is not in ${quoted(recordPath)}`,
          `it holds ${known}`,
        );
      }
      const charts = drawn.flatMap(({ id, time, ratio }) =>
        Object.entries({ time, ratio }).map(([name, chart]) => ({ name: `${id}_${name}.svg`, chart })),
      );
      const names = charts.map(({ name }) => name);
      if (out !== undefined) requireFolder(out, names);
      io.print(
        `${record.device}, driver ${record.driver}, ${record.toolkit}, ${record.date}, ${record.commit}`,
      );
      if (peers !== undefined) io.print(`peers: ${peers.device}, ${peers.date}`);
      for (const line of summarize(record.rows, peers)) io.print(line);
      if (out === undefined) return;
      for (const { name, chart } of charts) {
        const path = join(out, name);
        writeWhole(path, `${chartSvg(chart)}\n`);
        io.print(path);
      }
    },
  );
}

function readNamed(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw userError("bad-option", `${quoted(path)} cannot be read: ${reasonOf(cause)}`, "name a file");
  }
}
