"""A model that imports the op by its name, and asks the gate before it uses it."""

from array import array

from sglang.kernels.ops.attention.fused_qknorm_rope import can_use_fused_qk_norm_rope, fused_qk_norm_rope

DIM, ONE = 128, 0x3F80


class Attention:
    def __init__(self, device):
        self.device = device
        if device != "buffers":
            import torch  # noqa: F401  # as SGLang has long before: the gate then asks for the GPU
        self.is_fused = can_use_fused_qk_norm_rope(DIM, True, "bf16", False)

    def forward(self):
        """Ones at position 0 stay ones; the v head has another value."""
        heads = [ONE] * (2 * DIM) + [0x4000] * DIM
        weight, rope = [ONE] * DIM, (1e4, True)
        yarn, extra = (1.0, 0.0, 0.0, 1.0), {}
        if self.device == "buffers":
            qkv, weight, positions = array("H", heads), array("H", weight), array("i", [0])
            extra = {"dtype": "bf16"}
        else:
            import torch

            qkv, weight = (
                torch.tensor(bits, dtype=torch.int16, device=self.device).view(torch.bfloat16).reshape(shape)
                for bits, shape in ((heads, (1, -1)), (weight, (-1,)))
            )
            positions = torch.zeros(1, dtype=torch.int32, device=self.device)
        fused_qk_norm_rope(qkv, 1, 1, 1, DIM, 0.0, weight, weight, *rope, positions, *yarn, **extra)
        values = qkv if self.device == "buffers" else qkv.float().flatten().tolist()
        return [int(value) for value in sorted(set(values))]
