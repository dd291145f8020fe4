/** The proof that every case of bad input gives: what was there before is there after, bit for bit. */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join, relative } from "node:path";
import { expect } from "vitest";
import { sha256 } from "../../generator/cache/cache.js";
import { UserError } from "../../generator/diagnostics.js";
import { NormropeError } from "../../runtime/errors.js";
import type { DeviceBuffer } from "../../runtime/memory.js";

/** What a snapshot is of: the bits of something that could have been written. */
export type Snapshot = () => unknown;

/** Every file, link and folder below a folder, with a hash of each file's bytes. */
export const filesIn =
  (folder: string): (() => Readonly<Record<string, string>>) =>
  () =>
    Object.fromEntries(
      readdirSync(folder, { recursive: true, withFileTypes: true })
        .map((entry) => join(entry.parentPath, entry.name))
        .sort()
        .map((path) => [relative(folder, path), contentOf(path)]),
    );

function contentOf(path: string): string {
  const stat = lstatSync(path);
  if (stat.isSymbolicLink()) return `link to ${readlinkSync(path)}`;
  return stat.isFile() ? sha256(readFileSync(path)) : "folder";
}

/** The bits of buffers; of one that was freed, that it was. */
export const bitsOf =
  (...buffers: readonly DeviceBuffer<"bf16">[]): Snapshot =>
  () =>
    buffers.map((buffer) => sha256(Buffer.from(buffer.read(new Uint16Array(buffer.length)).buffer)));

/** Runs something that is to fail, and proves that it left everything as it was. */
export async function leaving<T>(snapshot: Snapshot, run: () => T): Promise<Awaited<T>> {
  const before = snapshot();
  const result = await run();
  expect(snapshot()).toEqual(before);
  return result;
}

/** What a call throws, or rejects with; a call that succeeds fails the test. */
export async function errorOf(run: () => unknown): Promise<unknown> {
  let value: unknown;
  try {
    value = await run();
  } catch (error) {
    return error;
  }
  return expect.fail(`was taken, and gave ${typeof value}`);
}

/** Holds an error of the runtime against its code and what it must name: in the message, and with a fix behind it. */
export async function expectRefusal(
  snapshot: Snapshot,
  run: () => unknown,
  code: string,
  names: string | RegExp,
): Promise<void> {
  const error = await leaving(snapshot, () => errorOf(run));
  if (!(error instanceof NormropeError)) throw error;
  expect(error).toMatchObject({
    code,
    message: expect.stringMatching(typeof names === "string" ? literally(names) : names),
  });
  expect(error.fix).not.toBe("");
  expect(error.message).toMatch(new RegExp(`${literally(error.fix).source}$`));
  expect(error.message).not.toMatch(/[\p{Cc}]/u);
}

/** The same for the diagnostics of the compiler. */
export async function diagnosticsLeaving(snapshot: Snapshot, run: () => unknown) {
  const error = await leaving(snapshot, () => errorOf(run));
  if (!(error instanceof UserError)) throw error;
  for (const { message, fix } of error.diagnostics) {
    expect(fix).not.toBe("");
    expect(`${message}${fix}`).not.toMatch(/[\p{Cc}]/u);
  }
  return error.diagnostics;
}

function literally(text: string): RegExp {
  return new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
}
