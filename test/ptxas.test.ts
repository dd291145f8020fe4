/** Reading ptxas's report: several entries and architectures, frames, spills, and what is no report. */
import { expect, it } from "vitest";
import { parsePtxasReport } from "../generator/build/ptxas.js";

const REPORT = `ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'op__bf16_d256_r256_neox' for 'sm_80'
ptxas info    : Function properties for op__bf16_d256_r256_neox
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 47 registers, used 0 barriers, 568 bytes cmem[0]
ptxas info    : Compile time = 22.190 ms
ptxas warning : For profile sm_90 adjusting per thread register count of 16 to lower bound of 24
ptxas info    : Overriding maximum register limit 256 for 'op__bf16_d256_r256_neox' with  24 of maxrregcount option
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'op__bf16_d256_r256_neox' for 'sm_90'
ptxas info    : Function properties for op__bf16_d256_r256_neox
    288 bytes stack frame, 320 bytes spill stores, 336 bytes spill loads
ptxas info    : Used 24 registers, used 1 barriers, 288 bytes cumulative stack size
ptxas info    : Compile time = 14.246 ms
ptxas info    : Compiling entry function 'other' for 'sm_90'
ptxas info    : Function properties for other
    16 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Function properties for helper
    8 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads
ptxas info    : Compiling entry function 'third' for 'sm_90'
ptxas info    : Used 8 registers, used 0 barriers
`;

it("lists each entry on each architecture, in the order of the report", () => {
  const report = parsePtxasReport(REPORT);
  expect(report.get("op__bf16_d256_r256_neox")).toEqual([
    { arch: "sm_80", registers: 47, stackBytes: 0, spillStoreBytes: 0, spillLoadBytes: 0 },
    { arch: "sm_90", registers: 24, stackBytes: 288, spillStoreBytes: 320, spillLoadBytes: 336 },
  ]);
});

it("does not give an entry the frame of the one before", () => {
  const report = parsePtxasReport(REPORT);
  expect(report.get("third")).toEqual([
    { arch: "sm_90", registers: 8, stackBytes: 0, spillStoreBytes: 0, spillLoadBytes: 0 },
  ]);
  expect(report.has("other")).toBe(false);
});

it("finds nothing in the output of a C++ compiler", () => {
  expect(parsePtxasReport("")).toEqual(new Map());
  expect(parsePtxasReport("kernel.cpp:3:7: warning: unused variable 'x' [-Wunused-variable]\n")).toEqual(
    new Map(),
  );
});
