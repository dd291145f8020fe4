/** Faults of the throughput layout: staging, and flat sides. */
import { inClass, type Mutant } from "./mutant.js";

const EMULATED = "test/emulated.test.ts";

export const THROUGHPUT_MUTANTS: readonly Mutant[] = inClass("large batches", [
  {
    name: "a staged round is read one round too early",
    file: "templates/cuda/kernel.cu.hbs",
    find: "wait_for_copies(ROUNDS_MAX - 1 - round);",
    replace: "wait_for_copies(ROUNDS_MAX - round);",
    killedBy: EMULATED,
  },
  {
    name: "a staged round is read before other lanes' copies are there",
    file: "templates/cuda/kernel.cu.hbs",
    find: "wait_for_copies(ROUNDS_MAX - 1 - round);\n      __syncwarp();",
    replace: "wait_for_copies(ROUNDS_MAX - 1 - round);",
    killedBy: EMULATED,
  },
  {
    name: "the warps of a block share the bytes that they stage",
    file: "templates/cuda/kernel.cu.hbs",
    find: "threadIdx.x / 32 * ROUNDS_MAX * ROUND_BYTES + ",
    replace: "",
    killedBy: EMULATED,
  },
  {
    name: "the lanes that ten for a head leave over store a head, too",
    file: "templates/cuda/kernel.cu.hbs",
    find: "return head < end_head && !is_spare;",
    replace: "return head < end_head;",
    killedBy: EMULATED,
  },
  {
    name: "more is copied to shared memory than a head",
    file: "templates/cuda/kernel.cu.hbs",
    find: "has_round(round) && chunk < CHUNKS && !is_spare",
    replace: "has_round(round) && !is_spare",
    killedBy: EMULATED,
  },
  {
    name: "a lane of a flat side without a task stores a head",
    file: "templates/cuda/kernel.cu.hbs",
    find: "(IS_FLAT ? first_task + head_of_warp - task : head_of_warp)",
    replace: "(IS_FLAT ? 0 : head_of_warp)",
    killedBy: EMULATED,
  },
  {
    name: "heads between multiples of 16 bytes are staged",
    file: "templates/cuda/layout.hpp",
    find: "&& is_copied(args.q) && is_copied(args.k) && is_copied(args.v)",
    replace: "",
    killedBy: EMULATED,
  },
  {
    name: "blocks of a flat side are those of a side that is not",
    file: "templates/cuda/dispatch.cpp.hbs",
    find: "const int64_t warps = is_flat(heads, decision) ?",
    replace: "const int64_t warps = false ?",
    killedBy: EMULATED,
  },
]);
