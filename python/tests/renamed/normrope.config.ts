/** The op that ships, under another name alone. */
import { defineOp, defineSpace, qkNormRope } from "normrope/dsl";

const asShipped = defineOp({ ...qkNormRope, name: "as_shipped" });

export default defineSpace(asShipped, { headDim: [80], rope: ["neox"], dtype: ["bf16"] });
