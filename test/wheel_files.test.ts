/** The texts of a wheel: its platform tag, and what pip reads of the package. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { PACKAGE_ROOT } from "../generator/package_root.js";
import { entryPoints, metadata, parseProject } from "../generator/wheel/metadata.js";
import { platformTag } from "../generator/wheel/platform.js";

/** As readelf prints them. */
const needs = (libraries: readonly string[], versions: readonly string[]) =>
  [
    ...libraries.map((name) => ` 0x0000000000000001 (NEEDED)             Shared library: [${name}]`),
    ...versions.map((name, i) => `  0x00${i}0:   Name: ${name}  Flags: none  Version: ${i}`),
  ].join("\n");
const SYSTEM = ["libstdc++.so.6", "libm.so.6", "libgcc_s.so.1", "libc.so.6", "ld-linux-x86-64.so.2"];

describe("a platform tag", () => {
  it.each<[string, readonly string[], readonly string[], string]>([
    ["of old symbols is the oldest policy", SYSTEM, ["GLIBC_2.2.5", "GLIBCXX_3.4"], "manylinux_2_17_x86_64"],
    ["follows glibc", SYSTEM, ["GLIBC_2.34", "GLIBC_2.4", "CXXABI_1.3"], "manylinux_2_34_x86_64"],
    ["follows libstdc++", SYSTEM, ["GLIBC_2.32", "GLIBCXX_3.4.30", "GLIBCXX_3.4.9"], "manylinux_2_35_x86_64"],
    ["follows the C++ ABI", SYSTEM, ["GLIBC_2.17", "CXXABI_1.3.12"], "manylinux_2_31_x86_64"],
    ["of a glibc between policies is that glibc", SYSTEM, ["GLIBC_2.36"], "manylinux_2_36_x86_64"],
    ["promises nothing of a libstdc++ that no policy knows", SYSTEM, ["GLIBCXX_3.4.99"], "linux_x86_64"],
    ["promises nothing where other libraries are needed", [...SYSTEM, "libtbb.so.12"], [], "linux_x86_64"],
    ["promises nothing where readelf named no glibc", SYSTEM, [], "linux_x86_64"],
    ["promises nothing where readelf said nothing", [], [], "linux_x86_64"],
  ])("%s", (_, libraries, versions, tag) => {
    expect(platformTag(needs(libraries, versions), "x64")).toBe(tag);
  });

  it("names the CPU, and refuses one without a name", () => {
    expect(platformTag(needs(SYSTEM, ["GLIBC_2.17"]), "arm64")).toBe("manylinux_2_17_aarch64");
    expect(() => platformTag(needs(SYSTEM, []), "riscv64")).toThrow("riscv64");
  });
});

describe("the texts that pip reads", () => {
  const toml = readFileSync(join(PACKAGE_ROOT, "python", "pyproject.toml"), "utf8");
  const project = parseProject(toml);

  it("have every field of pyproject.toml", () => {
    const lines = metadata(project, "1.2.3+cpu.abc", "# A title\n").split("\n");
    expect(lines.slice(0, 4)).toEqual([
      "Metadata-Version: 2.1",
      "Name: normrope",
      "Version: 1.2.3+cpu.abc",
      `Summary: ${project.description}`,
    ]);
    expect(lines.slice(-3)).toEqual(["", "# A title", ""]);
    for (const line of [
      "License: Apache-2.0",
      "Requires-Python: >=3.10",
      "Provides-Extra: torch",
      'Requires-Dist: torch>=2.4; extra == "torch"',
    ])
      expect(lines).toContain(line);
    expect(lines.filter((line) => line.startsWith("Classifier: "))).toHaveLength(project.classifiers.length);
  });

  it("have the entry points by their groups", () => {
    expect(entryPoints(project)).toBe(
      "[sglang.srt.plugins]\nnormrope = normrope.plugins:load_sglang\n\n" +
        "[vllm.general_plugins]\nnormrope = normrope.plugins:load_vllm\n",
    );
  });
});
