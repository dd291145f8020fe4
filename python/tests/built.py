"""Libraries for the Python tests, built by the compiler of this checkout.

`NORMROPE_TEST_BUILD` names a folder with one for each of the configs that somebody else has built; the others are built
here, once, where Node is installed.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]

#: Of the configs below: one with the grid, one with a single kernel that the grid lacks, one with ops of a user's, one
#: with the op that ships under another name alone, one with its axes off their defaults, one that writes KV caches, and
#: one with what drop-ins for others' ops call.
_FOLDERS = ("single", "sentences", "renamed", "axes", "caches", "dropins")
CONFIGS = {"tests": HERE, **{name: HERE / name for name in _FOLDERS}}
SINGLE_ID = "qk_norm_rope__bf16_d96_r96_neox"

#: The environment before a test changes it.
_ENVIRONMENT = dict(os.environ)


@functools.cache
def build(config: str = "tests", target: str = "cpu") -> Path:
    """The folder that holds `<target>/libnormrope.so`. Skips the test where it cannot be built."""
    given = _ENVIRONMENT.get("NORMROPE_TEST_BUILD")
    if given and (Path(given) / config / target).is_dir():
        return Path(given) / config
    node = shutil.which("node")
    if node is None:
        raise unittest.SkipTest("needs Node, to build a library")
    loader = REPOSITORY / "node_modules" / "tsx" / "dist" / "loader.mjs"
    command = [node, "--import", str(loader), str(REPOSITORY / "generator" / "cli.ts"), "build"]
    folder = CONFIGS[config]
    command += ["--config", str(folder / "normrope.config.ts"), "--target", target]
    done = subprocess.run(command, env=_ENVIRONMENT, capture_output=True, text=True)
    if done.returncode != 0:
        if "no-compiler" in done.stderr:
            raise unittest.SkipTest(f"needs a compiler for {target}")
        raise AssertionError(f"the build failed:\n{done.stderr}{done.stdout}")
    return folder / "build"


def library_in(build_folder: Path, target: str = "cpu") -> Path:
    return build_folder / target / "libnormrope.so"
