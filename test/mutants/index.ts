/** All mutants. */
import { CONFIG_MUTANTS } from "./config.js";
import { HOST_MUTANTS } from "./host.js";
import { KERNEL_MUTANTS } from "./kernels.js";
import { MODEL_MUTANTS } from "./models.js";
import type { Mutant } from "./mutant.js";
import { NORM_MUTANTS } from "./norm.js";
import { ROTATION_MUTANTS } from "./rotation.js";
import { STAGE_MUTANTS } from "./stages.js";
import { STORE_MUTANTS } from "./stores.js";
import { THROUGHPUT_MUTANTS } from "./throughput.js";

export const MUTANTS: readonly Mutant[] = [
  ...KERNEL_MUTANTS,
  ...NORM_MUTANTS,
  ...STAGE_MUTANTS,
  ...THROUGHPUT_MUTANTS,
  ...ROTATION_MUTANTS,
  ...STORE_MUTANTS,
  ...CONFIG_MUTANTS,
  ...HOST_MUTANTS,
  ...MODEL_MUTANTS,
];
