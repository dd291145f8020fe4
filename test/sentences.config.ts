/** Ops of a user's own: other orders, sides, weights, and heads that only rotate or are only normed. */
import { defineOp, defineSpace, norm, rotate } from "normrope/dsl";

const entry = { headDim: [64, 96], rotaryDim: [64, 32], rope: ["neox", "interleaved"], dtype: ["bf16"] } as const;

export default [
  defineSpace(defineOp({ name: "my_rope_norm", head: (x) => norm(rotate(x)) }), entry),
  defineSpace(defineOp({ name: "my_weightless", head: (x) => rotate(norm(x, { weight: "none" })) }), entry),
  defineSpace(defineOp({ name: "my_one_plus", head: (x) => rotate(norm(x, { weight: "one_plus" })) }), entry),
  defineSpace(defineOp({ name: "my_only_rope", head: (x) => rotate(x) }), entry),
  defineSpace(defineOp({ name: "my_only_norm", head: (x) => norm(x) }), {
    headDim: [64, 96],
    weight: ["plain", "one_plus", "none"],
    dtype: ["bf16", "f16"],
  }),
  defineSpace(
    defineOp({ name: "my_v4", q: (x) => rotate(norm(x, { weight: "none" })), k: (x) => rotate(norm(x)) }),
    entry,
  ),
  defineSpace(defineOp({ name: "my_twice", head: (x) => norm(rotate(norm(x))) }), entry),
  defineSpace(
    defineOp({ name: "my_v", head: (x) => rotate(norm(x)), v: (x) => norm(x, { weight: "none" }) }),
    entry,
  ),
];
