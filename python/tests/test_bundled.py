"""The library that comes with the package, as a wheel has it: behind those that are named, before the cache."""

from __future__ import annotations

import json
import os
import shutil
import unittest
from array import array
from pathlib import Path
from unittest import mock

from built import SINGLE_ID, build
from case import BufferCall, NormropeCase
from normrope import _library
from normrope._kernels import kernel_for, op_named
from normrope._point import complete, point_of
from reference import Style

#: The grid has this, and `single` does not.
STYLE = Style(64, 64, True)


class Bundled(NormropeCase):
    def setUp(self) -> None:
        super().setUp()
        patched = mock.patch.object(_library, "_BUNDLED", self.folder / "library")
        patched.start()
        self.addCleanup(patched.stop)

    def bundle(self, config: str, **changes: object) -> Path:
        """`changes` are of the manifest's `build`."""
        folder = self.folder / "library" / str(changes.get("target", "cpu"))
        shutil.copytree(build(config) / "cpu", folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["build"].update(changes)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder / "libnormrope.so"

    def in_cache(self, config: str) -> None:
        shutil.copytree(build(config) / "cpu", self.cache / "jit" / SINGLE_ID / ("a" * 64))
        for folder in (self.cache, *self.cache.rglob("*")):
            folder.chmod(0o700)

    def is_found(self) -> bool:
        call = BufferCall(STYLE, array("i", [5]))
        call.run()
        return call.error() <= 1

    def test_serves_where_nothing_else_is(self) -> None:
        self.bundle("tests")
        self.assertTrue(self.is_found())

    def test_serves_what_the_named_library_lacks(self) -> None:
        own = self.bundle("tests")
        os.environ["NORMROPE_LIBRARY"] = str(build("single"))
        self.assertTrue(self.is_found())
        self.assertEqual(kernel_for(point_of(96, 96, True, "bf16"), "cpu").id, SINGLE_ID)
        named = build("single") / "cpu" / "libnormrope.so"
        with self.refuses("kernel-not-found", f"{named} and {own} hold no kernel for headDim 40"):
            kernel_for(point_of(40, 40, True, "bf16"), "cpu")

    def test_comes_behind_the_named_library(self) -> None:
        own, named = self.bundle("single"), build("single") / "cpu" / "libnormrope.so"
        point = point_of(96, 96, True, "bf16")
        of_own = kernel_for(point, "cpu")
        os.environ["NORMROPE_LIBRARY"] = str(named)
        self.assertIsNot(kernel_for(point, "cpu").functions, of_own.functions)
        self.assertIs(_library.load_library(own).kernel(point), of_own)

    def test_has_ops_of_its_own(self) -> None:
        self.bundle("sentences")
        os.environ["NORMROPE_LIBRARY"] = str(build("single"))
        op = op_named("my_only_norm", "cpu")
        point = complete({"headDim": 64, "dtype": "bf16"}, op)
        self.assertEqual(kernel_for(point, "cpu").id[:12], "my_only_norm")
        with self.refuses("kernel-not-found", "hold no op", "Their ops are qk_norm_rope, "):
            op_named("my_v5", "cpu")

    def test_of_another_architecture_is_not_taken_and_named(self) -> None:
        own = self.bundle("tests", target="cuda", archs=["sm_100"])
        with self.refuses("kernel-not-found", f"{own} has code for sm_100, and this is sm_90"):
            kernel_for(point_of(64, 64, True, "bf16"), "cuda", "sm_90")
        for arch in ("sm_100", "sm_103", "sm_120"):
            self.assertEqual(kernel_for(point_of(64, 64, True, "bf16"), "cuda", arch).id[:12], "qk_norm_rope")

    def test_that_this_machine_cannot_run_is_not_taken_and_named(self) -> None:
        own = self.bundle("tests", cpuFeatures=["flux_capacitor"])
        with self.refuses("kernel-not-found", f"{own} was built for instructions that this CPU lacks: flux_capacitor"):
            self.is_found()
        os.environ["NORMROPE_LIBRARY"] = str(build())
        self.assertTrue(self.is_found())

    def test_that_is_damaged_is_not_taken_and_named(self) -> None:
        own = self.bundle("tests")
        own.write_bytes(own.read_bytes()[:-1])
        with self.refuses("kernel-not-found", f"{own} is not the library that"):
            self.is_found()

    def test_with_the_op_spares_a_named_library_without_it(self) -> None:
        self.bundle("tests")
        os.environ["NORMROPE_LIBRARY"] = str(build("sentences"))
        self.in_cache("single")
        self.assertEqual(kernel_for(point_of(96, 96, True, "bf16"), "cpu").id, SINGLE_ID)

    def test_without_the_op_leaves_it_to_the_cache(self) -> None:
        self.bundle("sentences")
        self.in_cache("single")
        self.assertEqual(kernel_for(point_of(96, 96, True, "bf16"), "cpu").id, SINGLE_ID)


if __name__ == "__main__":
    unittest.main()
