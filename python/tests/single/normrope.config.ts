/** One kernel that the grid lacks: what a cache entry holds. */
import { defineSpace, qkNormRope } from "normrope/dsl";

export default defineSpace(qkNormRope, { headDim: [96], rope: ["neox"], dtype: ["bf16"] });
