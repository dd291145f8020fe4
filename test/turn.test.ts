/** Turns: who makes, who waits, and for how long. */
import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { inTurn } from "../generator/cache/turn.js";

/** Work under a name of its own. `finish` ends the oldest run of it. */
function work() {
  const name = randomBytes(8).toString("hex");
  let result: string | undefined;
  const runs: { finish: (value: string) => void; fail: (error: Error) => void }[] = [];
  const make = () =>
    new Promise<string>((resolve, fail) => {
      const finish = (value: string) => {
        result ??= value;
        resolve(value);
      };
      runs.push({ finish, fail });
    });
  const get = (longestWaitMs?: number) => inTurn(name, () => result, make, longestWaitMs);
  return { get, runs };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((wake) => setTimeout(wake, 5));
}

/** Long enough for whoever would not wait. */
const aWhile = () => new Promise((wake) => setTimeout(wake, 100));

describe("work that several want", () => {
  it("is done once", async () => {
    const { get, runs } = work();
    const all = [get(), get(), get(), get()];
    await aWhile();
    expect(runs).toHaveLength(1);
    runs[0]?.finish("once");
    expect(await Promise.all(all)).toEqual(Array(4).fill("once"));
    expect(await get()).toBe("once");
    expect(runs).toHaveLength(1);
  });

  it("that failed is tried by all others at once", async () => {
    const { get, runs } = work();
    const first = get();
    await until(() => runs.length === 1);
    const others = [get(), get(), get()];
    await aWhile();
    runs[0]?.fail(new Error("out of luck"));
    await expect(first).rejects.toThrow("out of luck");
    await until(() => runs.length === 4);
    for (const { finish } of runs.slice(1)) finish("at last");
    expect(await Promise.all(others)).toEqual(Array(3).fill("at last"));
  });

  it("is done by each where the system has no turns", async () => {
    const tooLong = "x".repeat(200); // for the name of a socket
    const both = await Promise.all(
      ["one", "other"].map((result) =>
        inTurn(
          tooLong,
          () => undefined,
          async () => result,
        ),
      ),
    );
    expect(both).toEqual(["one", "other"]);
  });

  it("that takes too long is done by those that wait, too", async () => {
    const { get, runs } = work();
    const first = get();
    await until(() => runs.length === 1);
    const second = get(50);
    await until(() => runs.length === 2);
    runs[1]?.finish("second");
    expect(await second).toBe("second");
    runs[0]?.finish("first");
    expect(await first).toBe("first");
  });
});
