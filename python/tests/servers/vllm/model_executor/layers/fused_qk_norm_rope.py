"""The function for a gate beside q, where vLLM has it."""


def fused_qk_rmsnorm_rope_gate(*given, **named):
    return "the original"
