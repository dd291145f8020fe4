/** The bad arguments of C through Python's structs: each lands in the field that it was given for, and its error says so. */
import { join } from "node:path";
import { execa } from "execa";
import { beforeAll, describe, expect, test } from "vitest";
import { packedFields } from "../c_args.js";
import { buildFixture } from "../fixture.js";
import { PYTHON_FOLDER, python, pythonEnvironment } from "../python.js";
import { BAD_ARGS } from "./args.js";

describe.skipIf(python === undefined)("Python's structs", () => {
  let errors: [code: string, message: string, fix: string][];
  beforeAll(async () => {
    const { library } = await buildFixture("default", "cpu");
    const calls = [{}, ...BAD_ARGS.map(([, , , changed]) => changed)].map((changed) =>
      Object.fromEntries(
        Object.entries({ ...packedFields(64), ...changed }).map(([path, value]) => [
          path,
          typeof value === "object" ? value : `${value}`,
        ]),
      ),
    );
    const input = JSON.stringify({ library, kernel: "qk_norm_rope__bf16_d64_r64_neox", calls });
    const script = join(PYTHON_FOLDER, "tests", "arguments.py");
    const { stdout } = await execa(python?.path ?? "", [script], { input, env: pythonEnvironment });
    errors = JSON.parse(stdout);
  });

  test("make a good call", () => expect(errors[0]).toEqual(["", "", ""]));

  test.each(BAD_ARGS.map((bad, i) => [...bad, i] as const))(
    "refuse %s that is %s, wanted %s",
    (field, value, wanted, _changed, i) => {
      const [code, message = "", fix = ""] = errors[i + 1] ?? [];
      expect(code).toBe("invalid-argument");
      const [is, must] = [`${field} is `, `${field} must be `];
      expect([message.slice(0, is.length), fix.slice(0, must.length)]).toEqual([is, must]);
      if (typeof value === "string") expect(message.slice(is.length)).toBe(value);
      else expect(message.slice(is.length)).toMatch(value);
      expect(fix.slice(must.length)).toMatch(wanted);
    },
  );
});
