/** What `add` refuses, with the reason, and writes nothing for. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { addValues } from "../generator/edit/add.js";
import { neoxEntry } from "./cli_helpers.js";
import { diagnosticsOf, readMarks, spaceOf, writeConfig } from "./helpers.js";

const IMPORT = 'import { defineSpace, qkNormRope } from "normrope/dsl";\n';
const REST = 'rope: ["neox"], dtype: ["bf16"]';

type Add = readonly [axis: string, values: readonly string[], entry?: number];

describe("nothing is written, and the reason is said, for", () => {
  const several = `[\n  ${neoxEntry(64)},\n  { headDim: [128], rotaryDim: [96], ${REST} },\n]`;
  it.each<[string, string, Add, string, RegExp]>([
    [
      "an entry that is not named where there are several",
      several,
      ["headDim", ["256"]],
      "entry-needed",
      /1 \(line 3\), 2 \(line 4\)[\s\S]*--entry N/,
    ],
    ["an entry past the last", several, ["headDim", ["256"], 3], "bad-option", /--entry is 3[\s\S]*2/],
    ["entry 0", several, ["headDim", ["256"], 0], "bad-option", /--entry is 0/],
    ["half an entry", several, ["headDim", ["256"], 1.5], "bad-option", /--entry is 1\.5/],
    ["an entry that is no number", several, ["headDim", ["256"], Number.NaN], "bad-option", /--entry/],
    [
      "a value that is there",
      `{ headDim: ▸[64], ${REST} }`,
      ["headDim", ["64"]],
      "value-present",
      /headDim has 64/,
    ],
    [
      "a value that is there without brackets",
      `{ headDim: ▸64, ${REST} }`,
      ["headDim", ["64"]],
      "value-present",
      /headDim has 64/,
    ],
    [
      "a value that is there, among new ones",
      `{ headDim: ▸[64], ${REST} }`,
      ["headDim", ["96", "64", "128"]],
      "value-present",
      /headDim has 64/,
    ],
    [
      "a value that the named entry has",
      several,
      ["headDim", ["128"], 2],
      "value-present",
      /headDim has 128/,
    ],
    [
      "a value that two spellings give",
      neoxEntry(64),
      ["headDim", ["96", "096"]],
      "duplicate-value",
      /96 twice/,
    ],
    [
      "an axis with a slip in it",
      neoxEntry(64),
      ["headdims", ["96"]],
      "unknown-axis",
      /"headdims"[\s\S]*did you mean headDim\?/,
    ],
    [
      "an axis that there is none like",
      neoxEntry(64),
      ["blocks", ["96"]],
      "unknown-axis",
      /its axes are headDim, rotaryDim, rope, dtype/,
    ],
    ["a number outside the axis", neoxEntry(64), ["headDim", ["65"]], "value-not-in-axis", /multiple of 8/],
    [
      "a number past the end",
      neoxEntry(64),
      ["headDim", ["96", "1032"]],
      "value-not-in-axis",
      /"1032".*\n.*1024/,
    ],
    [
      "what is no whole number",
      neoxEntry(64),
      ["headDim", ["9.6e1"]],
      "value-not-in-axis",
      /"9\.6e1" is no value of headDim/,
    ],
    [
      "a word outside the axis",
      neoxEntry(64),
      ["rope", ["neo"]],
      "value-not-in-axis",
      /one of "neox", "interleaved"; did you mean "neox"\?/,
    ],
    [
      "a word that others use",
      neoxEntry(64),
      ["dtype", ["bfloat16"]],
      "value-not-in-axis",
      /"bfloat16" is no value of dtype\n.*did you mean "bf16"\?/,
    ],
    [
      "a value that the rules reject with all others",
      `{ headDim: [64], rotaryDim: [32], ${REST} }`,
      ["rotaryDim", ["96"]],
      "entry-without-kernel",
      /rotaryDim 96 adds no kernel: rotaryDim 96 is more than headDim 64(?![\s\S]*--rejected)/,
    ],
    [
      "a value that the rules reject, of an axis at its default",
      neoxEntry(64),
      ["rotaryDim", ["96"]],
      "entry-without-kernel",
      /rotaryDim 96 adds no kernel: rotaryDim 96 is more than headDim 64(?![\s\S]*--rejected)/,
    ],
    [
      "a value that is the default",
      neoxEntry(64),
      ["rotaryDim", ["64"]],
      "value-present",
      /the kernels of headDim 64 have rotaryDim 64 already/,
    ],
    [
      "a value that is the default, among others",
      neoxEntry(128),
      ["rotaryDim", ["64", "128"]],
      "value-present",
      /the kernels of headDim 128 have rotaryDim 128 already.*[\s\S]*leave 128 out/,
    ],
    [
      "a config with an error in it",
      `{ headDim: [▸65], ${REST} }`,
      ["headDim", ["64"]],
      "value-not-in-axis",
      /65 is no value/,
    ],
  ])("%s", (_, marked, [axis, values, entry], code, message) => {
    const { text, places } = readMarks(spaceOf(marked));
    const config = writeConfig(text);
    const found = diagnosticsOf(() => addValues(config, axis, values, entry));
    expect(readFileSync(config, "utf8")).toBe(text);
    expect(readdirSync(dirname(config))).toEqual([basename(config)]);
    expect(found.map((diagnostic) => diagnostic.code)).toEqual([code]);
    expect(found.map((diagnostic) => `${diagnostic.message}\n${diagnostic.fix}`).join()).toMatch(message);
    const spans = found.flatMap(({ span }) => (span === undefined ? [] : [span]));
    if (places.length > 0) expect(spans).toEqual(places.map((place) => ({ ...place, file: config })));
  });

  it("a value that a spread brings", () => {
    const text = `${IMPORT}const dims = [64] as const;\nexport default defineSpace(qkNormRope, { headDim: [...dims, 96], ${REST} });\n`;
    const config = writeConfig(text);
    const found = diagnosticsOf(() => addValues(config, "headDim", ["64"]));
    expect(found.map(({ code }) => code)).toEqual(["value-present"]);
    expect(readFileSync(config, "utf8")).toBe(text);
  });

  it("a file that is not there", () => {
    const config = join(dirname(writeConfig("")), "other.config.ts");
    const found = diagnosticsOf(() => addValues(config, "headDim", ["64"]));
    expect(found.map(({ code }) => code)).toEqual(["config-not-found"]);
    expect(readdirSync(dirname(config))).toEqual(["normrope.config.ts"]);
  });
});
