/** Ops of a user's own: other orders, sides and weights, and heads that are only rotated or only normed. */
import { defineOp, defineSpace, norm, rotate } from "normrope/dsl";

const both = { rope: ["neox", "interleaved"], dtype: ["bf16"] } as const;
const entries = [
  { headDim: [64], rotaryDim: [64, 32], ...both },
  { headDim: [96], rope: ["neox"], dtype: ["f16"] },
] as const;

export default [
  defineSpace(defineOp({ name: "my_rope_norm", head: (x) => norm(rotate(x)) }), entries),
  defineSpace(defineOp({ name: "my_weightless", head: (x) => rotate(norm(x, { weight: "none" })) }), entries),
  defineSpace(
    defineOp({ name: "my_one_plus", head: (x) => rotate(norm(x, { weight: "one_plus" })) }),
    entries,
  ),
  defineSpace(defineOp({ name: "my_only_rope", head: (x) => rotate(x) }), entries),
  defineSpace(defineOp({ name: "my_only_norm", head: (x) => norm(x) }), {
    ...{ headDim: [64, 96], dtype: ["bf16", "f16"] },
    weight: ["plain", "one_plus", "none"],
  }),
  defineSpace(
    defineOp({ name: "my_v4", q: (x) => rotate(norm(x, { weight: "none" })), k: (x) => rotate(norm(x)) }),
    entries,
  ),
  defineSpace(defineOp({ name: "my_twice", head: (x) => norm(rotate(norm(x))) }), entries),
  defineSpace(
    defineOp({ name: "my_v", head: (x) => rotate(norm(x)), v: (x) => norm(x, { weight: "none" }) }),
    entries,
  ),
  // Sides that do not lie side by side share a body, and one has none.
  defineSpace(
    defineOp({ name: "my_sides", q: (x) => norm(x), k: (x) => rotate(norm(x)), v: (x) => norm(x) }),
    entries,
  ),
  // One norm without a weight and one with, whose loads and preparations they share.
  defineSpace(
    defineOp({ name: "my_k", k: (x) => norm(rotate(norm(x, { weight: "none" })), { weight: "one_plus" }) }),
    entries,
  ),
];
