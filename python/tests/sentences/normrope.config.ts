/** Ops of a user's own, as the tests of `normrope.Op` call them: other orders, sides and weights than the shipped op's. */
import { defineOp, defineSpace, norm, rotate } from "normrope/dsl";

const both = { headDim: [64], rotaryDim: [64, 32], rope: ["neox", "interleaved"], dtype: ["bf16"] } as const;
const one = { headDim: [64], rope: ["neox"], dtype: ["bf16"] } as const;

export default [
  defineSpace(defineOp({ name: "my_rope_norm", head: (x) => norm(rotate(x)) }), both),
  defineSpace(defineOp({ name: "my_weightless", head: (x) => rotate(norm(x, { weight: "none" })) }), both),
  defineSpace(defineOp({ name: "my_one_plus", head: (x) => rotate(norm(x, { weight: "one_plus" })) }), both),
  defineSpace(defineOp({ name: "my_only_rope", head: (x) => rotate(x) }), both),
  defineSpace(defineOp({ name: "my_only_norm", head: (x) => norm(x) }), {
    ...{ headDim: [64], dtype: ["bf16", "f16"] },
    weight: ["plain", "one_plus", "none"],
  }),
  defineSpace(
    defineOp({ name: "my_v4", q: (x) => rotate(norm(x, { weight: "none" })), k: (x) => rotate(norm(x)) }),
    both,
  ),
  defineSpace(defineOp({ name: "my_twice", head: (x) => norm(rotate(norm(x))) }), both),
  defineSpace(
    defineOp({ name: "my_v", head: (x) => rotate(norm(x)), v: (x) => norm(x, { weight: "none" }) }),
    both,
  ),
  // A side that is not q alone, and an axis that is fixed though memory says it.
  defineSpace(defineOp({ name: "my_k", k: (x) => rotate(norm(x), { rotaryDim: 32 }) }), one),
];
