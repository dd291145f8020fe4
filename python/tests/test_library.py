"""Where a library is found, and which ones are not loaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import unittest
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import normrope
from built import REPOSITORY, build, library_in
from case import BufferCall, NormropeCase
from reference import Style

STYLE = Style(64, 64, True)


class Place(NormropeCase):
    def setUp(self) -> None:
        super().setUp()
        self.build = build()

    def is_found(self, **options: Any) -> bool:
        call = BufferCall(STYLE, array("i", [5]))
        call.run(**options)
        return call.error() <= 1

    def copy(self, to: str) -> Path:
        """A library of the test's own: one that was loaded from a path stays loaded."""
        shutil.copytree(self.build / "cpu", self.folder / to / "cpu")
        return self.folder / to

    def test_the_argument_is_a_folder_or_a_file(self) -> None:
        for place in (self.build, str(self.build), library_in(self.build), str(library_in(self.build))):
            self.assertTrue(self.is_found(library=place))
        for wrong, shown in ((7, "7"), ([], "a list of 0"), (b"build", "an object of type bytes")):
            with self.refuses("invalid-argument", f"library is {shown}. library must be a path"):
                self.is_found(library=wrong)

    def test_the_environment(self) -> None:
        os.environ["NORMROPE_LIBRARY"] = str(self.build)
        self.assertTrue(self.is_found())
        os.environ["NORMROPE_LIBRARY"] = str(self.folder / "none.so")
        self.assertTrue(self.is_found(library=self.build), "the argument goes first")
        with self.refuses("library-not-found", "there is no", "none.so"):
            self.is_found()

    def test_build_in_the_working_folder(self) -> None:
        self.copy("build")
        self.assertTrue(self.is_found())

    def test_none(self) -> None:
        with self.refuses("kernel-not-found", "no library holds a kernel for headDim 64, rotaryDim 64, rope neox"):
            self.is_found()

    def test_a_folder_without_the_target(self) -> None:
        with self.refuses("library-not-found", "cpu/libnormrope.so", "normrope build --target cpu"):
            self.is_found(library=self.folder)

    def test_build_that_others_may_write_to(self) -> None:
        path = self.copy("build") / "cpu"
        path.chmod(0o777)
        with self.refuses("library-invalid", "not to be trusted, because others may write to it", "with mode 777"):
            self.is_found()
        self.assertTrue(self.is_found(library="build"), "what is named is trusted")

    def edit(self, change: Callable[[dict[str, Any]], object]) -> Path:
        path = self.copy(f"edited{len(list(self.folder.iterdir()))}")
        manifest = path / "cpu" / "manifest.json"
        content = json.loads(manifest.read_text())
        change(content)
        manifest.write_text(json.dumps(content))
        return path

    def test_libraries_that_are_refused(self) -> None:
        def build_says(**values: Any) -> Callable[[dict[str, Any]], object]:
            return lambda manifest: manifest["build"].update(values)

        cases: list[tuple[Callable[[dict[str, Any]], object], str, str]] = [
            (build_says(librarySha256="0" * 64), "library-invalid", "is not the library that"),
            (build_says(cpuFeatures=["avx1024"]), "cpu-unsupported", "instructions that this CPU lacks: avx1024"),
            (build_says(cpuArch="s390x"), "cpu-unsupported", "was built for s390x, and this is"),
            (build_says(target="cuda"), "invalid-argument", "was built for cuda, and this call needs cpu"),
            (lambda manifest: manifest.update(abi=3), "library-invalid", "of version 3 of the C interface"),
            (lambda manifest: manifest["kernels"].reverse(), "library-invalid", "lists other kernels than"),
            (lambda manifest: manifest.pop("kernels"), "library-invalid", "is not a manifest of this version"),
            *(
                (lambda manifest, part=part, key=key, odd=odd: part(manifest).update({key: odd}), "library-invalid", "")
                for part, key in (
                    (lambda manifest: manifest["ops"][0], "stages"),
                    (lambda manifest: manifest["build"], "archs"),
                    (lambda manifest: manifest["build"], "cpuFeatures"),
                    (lambda manifest: manifest, "kernels"),
                    (lambda manifest: manifest, "build"),
                    (lambda manifest: manifest, "ops"),
                )
                for odd in (None, 1)
            ),
        ]
        for change, code, message in cases:
            with self.subTest(message=message), self.refuses(code, message):
                self.is_found(library=self.edit(change))

    def test_broken_manifests_are_refused(self) -> None:
        path = self.copy("broken")
        for text in ("{", "", "null", "[]", "1"):
            (path / "cpu" / "manifest.json").write_text(text)
            with self.refuses("library-invalid", "manifest.json is not a manifest"):
                self.is_found(library=path)
        (path / "cpu" / "manifest.json").unlink()
        with self.refuses("library-not-found", "manifest.json cannot be read"):
            self.is_found(library=path)

    def test_a_file_that_is_no_shared_library(self) -> None:
        import hashlib

        path = self.copy("text")
        library_in(path).write_text("text")
        manifest = json.loads((path / "cpu" / "manifest.json").read_text())
        manifest["build"]["librarySha256"] = hashlib.sha256(b"text").hexdigest()
        (path / "cpu" / "manifest.json").write_text(json.dumps(manifest))
        with self.refuses("library-invalid", "cannot be loaded"):
            self.is_found(library=path)


class Package(unittest.TestCase):
    def test_the_version_is_the_compilers(self) -> None:
        package = json.loads((REPOSITORY / "package.json").read_text())
        self.assertEqual(normrope.__version__, package["version"])

    def test_the_op_is_the_compilers(self) -> None:
        own = (REPOSITORY / "python" / "normrope" / "op.json").read_text()
        self.assertEqual(own, (REPOSITORY / "dsl" / "qk_norm_rope.op.json").read_text())

    def test_importing_needs_neither_torch_nor_numpy(self) -> None:
        program = "import normrope, sys; print('torch' in sys.modules, 'numpy' in sys.modules)"
        path = {**os.environ, "PYTHONPATH": str(REPOSITORY / "python")}
        done = subprocess.run([sys.executable, "-c", program], env=path, capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout, "False False\n")

    def test_files_say_what_they_are_and_have_one_responsibility(self) -> None:
        for path in (REPOSITORY / "python").rglob("*.py"):
            with self.subTest(path=path.name):
                text = path.read_text()
                self.assertTrue(text.startswith('"""'))
                self.assertLessEqual(len(text.splitlines()), 300)


if __name__ == "__main__":
    unittest.main()
