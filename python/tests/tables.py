"""The tables that the package makes, and what it says of bad parameters: for test/python_agrees.test.ts.

In: JSON on stdin, a list of `{"parameters": …}` for `RopeTable`, or `{"config", "layer_type", "length"}` for its
`from_hf_config`. Out: JSON on stdout, for each a table, or an error's code, message and fix.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import normrope


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    try:
        if "config" in asked:
            config, layer_type = asked["config"], asked["layer_type"]
            table = normrope.RopeTable.from_hf_config(config, layer_type, length=asked.get("length"))
        else:
            table = normrope.RopeTable(**asked["parameters"])
    except normrope.NormropeError as error:
        return {"error": [error.code, error.message, error.fix]}
    return {"frequencies": table.inv_freq, "attentionFactor": table.attention_factor}


if __name__ == "__main__":
    json.dump([answer(asked) for asked in json.load(sys.stdin)], sys.stdout)
