/** The emulator on kernels that are wrong on purpose: each fault is found, and its account says whose it is and where. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { beforeAll, describe, expect, test } from "vitest";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { compile, emit } from "../generator/pipeline.js";
import { buildEmulatedProgram } from "./emulated.js";
import { CONFIGS } from "./fixture.js";

const SOURCE = readFileSync(join(PACKAGE_ROOT, "test", "emulator", "faults.cu"), "utf8");
const AT_FAULT = "block (1, 0) warp 1 lane 5";

let program: string;
beforeAll(async () => {
  program = await buildEmulatedProgram(emit(compile(CONFIGS.default)), "faults.cu");
});

async function accountsOf(kernel: string): Promise<string[]> {
  const { stdout } = await execa(program, [kernel]);
  return stdout.split("\n");
}

/** The line of a kernel that is at fault, from 1. */
function faultyLine(kernel: string): number {
  const start = SOURCE.indexOf(`KERNEL(${kernel})`);
  const fault = SOURCE.indexOf("// fault", start);
  expect(start).toBeGreaterThan(0);
  expect(SOURCE.slice(start + 1, fault)).not.toContain("KERNEL(");
  return SOURCE.slice(0, fault).split("\n").length;
}

const RIGHT = ["right", "stages_right"];

test.each(RIGHT)("a correct kernel runs without a report: %s", async (kernel) => {
  expect(await accountsOf(kernel)).toEqual(["no error", "no error"]);
});

/** What each wrong kernel is said to do, and who is named: the lane at fault, or one that waits for it. */
const FAULTS: readonly [string, string, string][] = [
  ["ends_before_a_collective", "warp 1 lane 0", "waits in a collective for lane 5, which has ended"],
  ["takes_another_branch_to_a_collective", "warp 1 lane 0", "for lane 5, which is in another, at"],
  ["names_other_lanes", "warp 1 lane 0", "waits in a collective for lane 5, which is in another"],
  ["is_in_another_round", "warp 1 lane 0", "waits in a collective for lane 5, which is in another"],
  ["shuffles_another_way", "warp 1 lane 0", "waits in a collective for lane 5, which is in another"],
  ["is_not_named", AT_FAULT, "takes part in a collective that does not name it"],
  ["reads_a_lane_that_is_not_named", AT_FAULT, "reads lane 4, which its collective does not name"],
  ["takes_from_a_lane_that_is_not_named", AT_FAULT, "reads lane 7, which its collective does not name"],
  ["reads_past_the_end", AT_FAULT, "reads 4 bytes at offset 512 of a buffer of 512 bytes"],
  ["reads_half_past_the_end", AT_FAULT, "reads 4 bytes at offset 510 of a buffer of 512 bytes"],
  ["writes_before_the_start", AT_FAULT, "writes 4 bytes at offset -4 of a buffer of 512 bytes"],
  ["truncates_an_offset", AT_FAULT, "where no buffer is"],
  ["reads_what_is_not_aligned", AT_FAULT, "which is null or not aligned for what is there"],
  ["reads_what_nobody_wrote", AT_FAULT, "reads byte 404 of a buffer, which nobody has written"],
  [
    "writes_the_element_of_another",
    AT_FAULT,
    "writes byte 400 of a buffer, which block (1, 0) warp 1 lane 4 has",
  ],
  [
    "reads_what_another_wrote",
    AT_FAULT,
    "reads byte 400 of a buffer, which block (1, 0) warp 1 lane 4 has written",
  ],
  ["shifts_too_far", AT_FAULT, "shifts by 32, or what cannot be shifted"],
  ["overflows_an_offset", AT_FAULT, "overflows a signed product"],
  ["indexes_past_an_array", AT_FAULT, "uses index 4, which its array does not have"],
  ["divides_by_zero", AT_FAULT, "divides by 0"],
  ["converts_what_does_not_fit", AT_FAULT, "converts a number to an integer that cannot hold it"],
  ["takes_the_sine_of_a_large_angle", AT_FAULT, "takes the sine or cosine of 131071, outside [-pi, pi]"],
  ["makes_a_nan", AT_FAULT, "is about to store a NaN"],
  ["reads_before_the_wait", AT_FAULT, "uses byte 592 of shared memory before the copy to it was waited for"],
  ["waits_for_a_group_too_few", AT_FAULT, "uses byte 592 of shared memory before the copy to it was waited"],
  [
    "reads_what_another_lane_copied",
    AT_FAULT,
    "uses byte 576 of shared memory, which block (1, 0) warp 1 lane 4 has written, without __syncwarp",
  ],
  ["copies_beyond_the_array", AT_FAULT, "which is not shared memory"],
  [
    "copies_over_the_bytes_of_another_warp",
    AT_FAULT,
    "uses byte 80 of shared memory, which is of another warp",
  ],
  ["copies_what_is_not_aligned", AT_FAULT, "copies 16 bytes that are not aligned"],
  ["reads_shared_memory_that_nobody_wrote", AT_FAULT, "reads byte 3 of shared memory, which no lane of"],
  [
    "reads_before_the_previous_kernel_ended",
    AT_FAULT,
    "before wait_for_previous_kernel, which that kernel may write",
  ],
  ["writes_before_the_previous_kernel_ended", AT_FAULT, "writes before wait_for_previous_kernel"],
];

describe("the emulator reports a kernel that", () => {
  test.each(FAULTS)("%s", async (kernel, who, what) => {
    const [account, after] = await accountsOf(kernel);
    expect(account).toContain(`${kernel}: `);
    expect(account).toContain(who);
    expect(account).toContain(what);
    expect(account).toMatch(new RegExp(`faults\\.cu:${faultyLine(kernel)}\\b`));
    expect(after).toBe("no error");
  });

  test("every wrong kernel is in the table", () => {
    const kernels = [...SOURCE.matchAll(/^KERNEL\((\w+)\)/gm)].map(([, name]) => name);
    expect(kernels.sort()).toEqual([...RIGHT, ...FAULTS.map(([kernel]) => kernel)].sort());
  });
});
