/** The output of a command: results to stdout, progress and errors to stderr; colours only on a terminal. */
import pc from "picocolors";

export interface Io {
  /** One line of the result. */
  readonly print: (line: string) => void;
  /** One line about the progress. */
  readonly note: (line: string) => void;
  /** Colours of `print` and of `note`, which may go to different places. */
  readonly color: Colors;
  readonly noteColor: Colors;
}

type Colors = ReturnType<typeof pc.createColors>;

export function terminalIo(): Io {
  return {
    print: (line) => process.stdout.write(`${line}\n`),
    note: (line) => process.stderr.write(`${line}\n`),
    color: pc.createColors(process.stdout.isTTY === true && pc.isColorSupported),
    noteColor: pc.createColors(process.stderr.isTTY === true && pc.isColorSupported),
  };
}

export function printJson(io: Io, value: unknown): void {
  io.print(JSON.stringify(value, undefined, 2));
}

/** Rows with aligned columns. The first row is the head. Numbers must be text. */
export function printTable(io: Io, rows: readonly (readonly string[])[]): void {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  rows.forEach((row, i) => {
    const line = row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ");
    io.print(i === 0 ? io.color.bold(line.trimEnd()) : line.trimEnd());
  });
}
