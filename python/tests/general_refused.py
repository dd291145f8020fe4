"""Tensors that `qk_norm_rope` refuses, on any device. The test modules of the CPU and of CUDA run these."""

from __future__ import annotations

from typing import Any

import torch

import normrope
from case import DeviceCase
from general_cases import TOKENS, GeneralCall


class GeneralRefusals(DeviceCase):
    def test_sequences_over_each_other_are_refused(self) -> None:
        call = GeneralCall(self.device)
        wide = torch.randn(3, 4, TOKENS, 64, device=self.device).bfloat16()
        before = wide.clone()
        given = call.options(k_weight=None, heads_dim=1)
        for q, out, message in (
            (wide[:1].expand(2, -1, -1, -1), None, "q is in memory that lies over itself"),
            (wide[:2], wide[1:], "q_out is over q"),
            (wide[1:], wide[:2], "q_out is over q"),
        ):
            with self.subTest(message), self.refuses("invalid-argument", message):
                if out is None:
                    normrope.qk_norm_rope_(q, **given)
                else:
                    normrope.qk_norm_rope(q, q_out=out, **given)
        # The second sequence is at an address between vectors: nothing of the first is written either.
        odd = torch.zeros(2 * (4 * TOKENS * 64 + 1), device=self.device).bfloat16()
        odd[:] = 3
        with self.refuses("invalid-argument", "q is at 0x"):
            normrope.qk_norm_rope_(
                odd.as_strided((2, 4, TOKENS, 64), (4 * TOKENS * 64 + 1, TOKENS * 64, 64, 1)), **given
            )
        self.assertTrue(bool((odd == 3).all()) and torch.equal(wide, before))

    def test_the_registered_ops_refuse_half_of_the_outputs_and_two_tables(self) -> None:
        call, ops = GeneralCall(self.device), torch.ops.normrope
        q, k, before = call.heads["q"], call.heads["k"], call.heads["k"].clone()
        given = call.options()
        given["inv_freq"] = list(given.pop("rope_table").inv_freq)
        with self.refuses("invalid-argument", "k_out is None. k_out must be given, as q_out is"):
            ops.qk_norm_rope_out(q, k, q_out=torch.empty_like(q), **given)
        turns = torch.zeros(32, dtype=torch.int64, device=self.device)
        with self.refuses("invalid-argument", "inv_freq is given. inv_freq must be left out, as rope_table is given"):
            ops.qk_norm_rope_(q, k, rope_table=turns, **given)
        with self.refuses("invalid-argument", "inv_freq is empty"):
            ops.qk_norm_rope_(q, k, **{**given, "inv_freq": []})
        with self.refuses("invalid-argument", "k is a list of 2. k must be a tensor"):
            normrope.qk_norm_rope(q, [1, 2], **call.options())
        with torch.profiler.profile(), self.refuses("invalid-argument", "pdl is 1. pdl must be True or False"):
            normrope.qk_norm_rope(q, k, **call.options(pdl=1))
        self.assertTrue(torch.equal(k, before))

    def test_half_of_the_outputs_is_refused_however_the_op_is_called(self) -> None:
        torch._dynamo.reset()
        call = GeneralCall(self.device)
        q, k = call.heads.values()
        outputs = {"q_out": torch.empty_like(q), "k_out": torch.empty_like(k)}
        compiled = torch.compile(normrope.qk_norm_rope, fullgraph=True)
        for names in (("q_out", "k_out"), ("k_out", "q_out")):
            given = call.options(**{names[1]: outputs[names[1]]})
            part = "{0} is None. {0} must be given, as {1} is".format(*names)
            with self.refuses("invalid-argument", part):
                normrope.qk_norm_rope(q, k, **given)
            with torch.profiler.profile(), self.refuses("invalid-argument", part):
                normrope.qk_norm_rope(q, k, **given)
            # torch shows an error's text or its repr
            with self.assertRaisesRegex(Exception, part.replace(". ", r"\W+")):
                compiled(q, k, **given)

    def test_grad_is_refused_in_words(self) -> None:
        call = GeneralCall(self.device)
        call.heads["k"].requires_grad_()
        for run in (normrope.qk_norm_rope, normrope.qk_norm_rope_):
            with self.refuses("invalid-argument", "k is a tensor that requires grad", "torch.no_grad()"):
                run(call.heads["q"], call.heads["k"], **call.options())
        with torch.no_grad():
            normrope.qk_norm_rope(call.heads["q"], call.heads["k"], **call.options())

    def test_refusals_also_after_a_good_call(self) -> None:
        call = GeneralCall(self.device)
        q, k = call.heads["q"], call.heads["k"]
        refused: list[tuple[dict[str, Any], str]] = [
            ({"q": q.float()}, "q is a tensor of float32. q must be of bf16 or f16"),
            ({"q": q[0, 0, 0]}, "q is a tensor of shape [64]. q must be of rank 3 or 4"),
            (
                {"q": q[..., :60], "q_weight": call.weights["q"][:60], "k": None, "k_weight": None},
                "headDim 60",
            ),
            ({"q": q[None]}, "q is a tensor of shape [1, 2, 6, 4, 64]"),
            ({"q": q.flatten(2)}, "q_weight is a tensor of shape [64]. q_weight must be [256] or [6, 256]"),
            ({"q": q.flatten(1), "head_dim": None}, "of rank 3 or 4, or rows with head_dim"),
            ({"heads_dim": 5}, "heads_dim is 5"),
            ({"heads_dim": -1}, "heads_dim is -1"),
            ({"k": k.half()}, "k is a tensor of f16. k must be bf16"),
            (
                {"k": k[:, 1:]},
                "k is a tensor of shape [2, 5, 2, 64]. k must be [2, 6, 2, 64]: [batch, num_tokens, num_heads",
            ),
            ({"k": None}, "k_weight is given. k_weight must be left out, as k is"),
            ({"q_weight": None}, "q_weight is None. q_weight must be given"),
            (
                {"q_weight": call.weights["q"].repeat(3, 1)},
                "q_weight must be [64] or [4, 64]: [head_dim] or [num_heads, head",
            ),
            ({"positions": None}, "positions is None. positions must be given"),
            (
                {"positions": call.positions[:, :3]},
                "positions is a tensor of shape [2, 3]. positions must be [6] or [2, 6]",
            ),
            (
                {"positions": call.positions.short()},
                "positions is a tensor of torch.int16. positions must be int32 or int64",
            ),
            ({"rope_table": None}, "rope_table is None. rope_table must be given"),
            ({"rope_table": 1e4}, "rope_table is 10000.0"),
            ({"rope_table": torch.zeros(32, device=self.device)}, "rope_table is a tensor of float32"),
            ({"rope": "neo"}, 'rope is "neo"'),
            ({"eps": True}, "eps is True"),
            ({"eps": float("nan")}, "eps is nan"),
            ({"attention_factor": float("inf")}, "attention_factor is inf"),
            ({"pdl": 1}, "pdl is 1. pdl must be True or False"),
            ({"q_out": q[:, :3], "k_out": k.clone()}, "q_out is a tensor of shape [2, 3, 4, 64]"),
            ({"q_out": q.clone()}, "k_out is None. k_out must be given, as q_out is"),
            ({"q_out": q[:, :, :2].repeat(1, 1, 2, 1)[..., :64], "k_out": q[:, :, :2]}, "k_out is over the input of q"),
            ({"dtype": "bf16"}, "dtype is given. dtype must be left out"),
        ]
        for _ in range(2):
            for change, message in refused:
                given = {"q": q, "k": k, **call.options(), **change}
                with self.subTest(message=message), self.assertRaises(normrope.NormropeError) as caught:
                    normrope.qk_norm_rope(given.pop("q"), given.pop("k"), **given)
                self.assertIn(message, str(caught.exception))
            normrope.qk_norm_rope(q, k, **call.options())
