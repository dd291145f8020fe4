/** Geometries beyond the default space: every way in which a head can lie over the lanes, both dtypes. */
import { defineSpace, qkNormRope } from "normrope/dsl";

const both = { rope: ["neox", "interleaved"] } as const;

export default defineSpace(qkNormRope, [
  // Whole heads that fill their lanes, and heads that leave lanes over.
  { headDim: [80, 96, 112, 192, 512], ...both, dtype: ["bf16"] },
  // Five and nine lanes a head, and three fragments on some lanes and two on others.
  { headDim: [40, 72, 88], ...both, dtype: ["bf16"] },
  { headDim: [16, 24, 1024], ...both, dtype: ["bf16"] },
  { headDim: [64, 128, 256], ...both, dtype: ["f16"] },
  // Partial rotary: half, a quarter, three quarters.
  { headDim: [128], rotaryDim: [64, 96], ...both, dtype: ["bf16", "f16"] },
  { headDim: [256], rotaryDim: [64], ...both, dtype: ["bf16"] },
  // rotary_dim / 2 odd or no power of two: vectors of 1 or 2 elements.
  { headDim: [80], rotaryDim: [20], ...both, dtype: ["bf16", "f16"] },
  { headDim: [96], rotaryDim: [46], ...both, dtype: ["bf16", "f16"] },
  { headDim: [64], rotaryDim: [2, 36], ...both, dtype: ["bf16"] },
  { headDim: [1024], rotaryDim: [2], rope: ["neox"], dtype: ["bf16"] },
  { headDim: [16], rotaryDim: [14], ...both, dtype: ["f16"] },
]);
