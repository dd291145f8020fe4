"""Kernels of the cache, laid out as `normrope cache add` does, and the command itself, played by a script."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import unittest
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import normrope
from built import SINGLE_ID, build
from case import BufferCall, NormropeCase
from normrope import _jit, _kernels
from normrope._point import point_of
from reference import Style

STYLE = Style(96, 96, True)
POINT = point_of(96, 96, True, "bf16")
CONFIG_LINE = '{ headDim: [96], rope: ["neox"], dtype: ["bf16"] }'

COMMAND = """#!{python}
import json, pathlib, shutil, sys
here = pathlib.Path({folder!r})
with (here / "calls").open("a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
if {fails!r}:
    sys.stderr.write("error [no-compiler]: no C++ compiler was found\\n  fix: install g++\\n")
    sys.exit(1)
entry = here / "cache" / "jit" / sys.argv[3] / ("5" * 64)
entry.parent.mkdir(parents=True, mode=0o700)
shutil.copytree({build!r}, entry)
answer = {{"id": sys.argv[3], "target": "cpu", "library": str(entry / "libnormrope.so"), "hit": False}}
print(json.dumps(answer))
"""


class Cache(NormropeCase):
    def setUp(self) -> None:
        super().setUp()
        self.single = build("single") / "cpu"
        self.cache.mkdir(mode=0o700)

    def add(self, digit: str = "a", root: Path | None = None, **build_says: Any) -> Path:
        """An entry, whose manifest may say something else of how it was built."""
        entry = (root or self.cache) / "jit" / SINGLE_ID / (digit * 64)
        shutil.copytree(self.single, entry)
        (entry / "seal.json").write_text("{}")
        self.edit(entry, lambda manifest: manifest["build"].update(build_says))
        for folder in (entry, entry.parent, entry.parent.parent):
            folder.chmod(0o700)
        return entry

    def edit(self, entry: Path, change: Callable[[dict[str, Any]], object]) -> None:
        path = entry / "manifest.json"
        manifest = json.loads(path.read_text())
        change(manifest)
        path.write_text(json.dumps(manifest))

    def command(self, fails: bool = False) -> Path:
        path = self.folder / "a command"
        values = {"python": sys.executable, "folder": str(self.folder), "fails": fails, "build": str(self.single)}
        path.write_text(COMMAND.format(**values))
        path.chmod(0o700)
        os.environ["NORMROPE_COMMAND"] = str(path)
        return path

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def runs(self, **options: Any) -> None:
        call = BufferCall(STYLE, array("i", [5]))
        call.run(**options)
        self.assertLessEqual(call.error(), 1)

    def test_an_entry_is_found_and_no_command_called(self) -> None:
        self.add()
        self.command()
        self.runs()
        self.runs(library=build())
        self.assertEqual(self.calls(), [])

    def test_a_miss_is_compiled_once(self) -> None:
        self.command()
        self.runs()
        self.runs()
        self.assertEqual(self.calls(), [f"cache add {SINGLE_ID} --target cpu --json"])

    def test_the_command_may_have_arguments(self) -> None:
        path = self.command().rename(self.folder / "command.py")
        os.environ["NORMROPE_COMMAND"] = f"{sys.executable} {path}"
        self.runs()

    def test_a_failure_of_the_command_is_reported_and_remembered(self) -> None:
        self.command(fails=True)
        for _ in range(2):
            with self.refuses(
                "kernel-not-found", "no library holds a kernel", "no C++ compiler was found", "Install g++"
            ):
                self.runs()
        self.assertEqual(len(self.calls()), 1)

    def test_the_config_line_is_named_if_compiling_is_forbidden(self) -> None:
        self.command()
        os.environ["NORMROPE_JIT"] = "0"
        with self.refuses("kernel-not-found", f"Add the entry {CONFIG_LINE} to normrope.config.ts"):
            self.runs()
        self.assertEqual(self.calls(), [])

    def test_without_a_command_the_message_says_what_to_run(self) -> None:
        del os.environ["NORMROPE_COMMAND"]
        os.environ["PATH"] = ""
        with self.refuses("kernel-not-found", f"Run `normrope cache add {SINGLE_ID} --target cpu --json`", CONFIG_LINE):
            self.runs()
        self.assertIn("there is no command", normrope.why_not(96, True, "bf16") or "")

    def test_the_command_on_path_and_in_node_modules(self) -> None:
        node = self.folder / "bin" / "node"
        node.parent.mkdir()
        node.write_text("")
        node.chmod(0o700)
        path = self.command()
        del os.environ["NORMROPE_COMMAND"]
        os.environ["PATH"] = str(node.parent)
        installed = self.folder / "node_modules" / ".bin" / "normrope"
        installed.parent.mkdir(parents=True)
        installed.symlink_to(path)
        self.assertEqual(_jit._command(), [str(installed)])
        for untrusted in (path, installed.parent, installed.parent.parent, self.folder):
            mode = untrusted.stat().st_mode
            untrusted.chmod(0o777)
            with self.subTest(untrusted=untrusted), self.refuses("kernel-not-found", "not to be trusted"):
                _jit._command()
            untrusted.chmod(mode)
        below = self.folder / "below"
        below.mkdir()
        os.chdir(below)
        self.assertNotIn(str(installed), _jit._command() or [])
        (node.parent / "normrope").symlink_to(path)
        self.assertEqual(_jit._command(), [str(node.parent / "normrope")])

    def test_folders_that_are_only_read_come_last(self) -> None:
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir(mode=0o700)
        entry = self.add(root=elsewhere)
        os.environ["NORMROPE_CACHE_READONLY"] = f":{self.folder / 'none'}:{elsewhere}"
        found, _ = _jit.cached_library(POINT, "cpu", "")
        self.assertEqual(found and found.path.parent, entry)
        own = self.add("b")
        found, _ = _jit.cached_library(POINT, "cpu", "")
        self.assertEqual(found and found.path.parent, own)

    def test_entries_that_are_refused(self) -> None:
        bad = {
            "1": (lambda m: m["build"].update(target="cuda"), "built for cuda"),
            "2": (lambda m: m["build"].update(cpuFeatures=["avx1024"]), "this CPU lacks: avx1024"),
            "3": (lambda m: m["build"].update(librarySha256="0" * 64), "is not the library that"),
            "4": (lambda m: m.update(compiler="normrope 0.0.1"), "built by normrope 0.0.1, and this is normrope"),
            "5": (lambda m: m["kernels"][0]["point"].update(headDim=88), "holds another kernel"),
            "6": (lambda m: m["ops"][0]["stages"]["k"].reverse(), "and no op that does what qk_norm_rope does"),
            "7": (lambda m: m.clear(), "is not a manifest"),
        }
        for digit, (change, _) in bad.items():
            self.edit(self.add(digit), change)
        (self.add("8") / "libnormrope.so").unlink()
        (self.cache / "jit" / SINGLE_ID / "staged").mkdir()
        reason = normrope.why_not(96, True, "bf16", device="cpu") or ""
        for digit, (_, message) in bad.items():
            self.assertIn(message, reason)
            self.assertIn(digit * 64, reason)
        self.add("9")
        self.runs()

    def test_an_entry_that_others_may_write_to_is_not_loaded(self) -> None:
        entry = self.add()
        for path in (entry / "libnormrope.so", entry / "manifest.json", entry, entry.parent, self.cache):
            for bit in (0o020, 0o002):
                mode = path.stat().st_mode
                path.chmod(mode | bit)
                with self.subTest(path=path, bit=bit), self.refuses("kernel-not-found", "not to be trusted"):
                    self.runs()
                path.chmod(mode)
        self.folder.chmod(0o777)
        with self.refuses("kernel-not-found", f"{self.folder} belongs to uid"):
            self.runs()
        self.folder.chmod(0o1777)
        self.runs()

    @unittest.skipUnless(os.getuid() == 0, "needs root, to give a file to another user")
    def test_an_entry_of_another_user_is_not_loaded(self) -> None:
        entry = self.add()
        os.chown(entry / "libnormrope.so", 65534, -1)
        with self.refuses("kernel-not-found", "belongs to uid 65534"):
            self.runs()

    def test_code_for_the_device_goes_before_ptx_and_later_code_is_not_taken(self) -> None:
        archs = {"a": ["sm_80"], "b": ["sm_90"], "c": ["sm_100"], "d": ["sm_80", "sm_120"]}
        for digit, built in archs.items():
            self.add(digit, target="cuda", archs=built)
        for device, digit in (("sm_80", "a"), ("sm_89", "a"), ("sm_90", "b"), ("sm_103", "c"), ("sm_121", "d")):
            with self.subTest(device=device):
                found, _ = _jit.cached_library(POINT, "cuda", device)
                self.assertEqual(found and found.path.parent.name[0], digit)
        shutil.rmtree(self.cache / "jit" / SINGLE_ID / ("b" * 64))
        found, unfit = _jit.cached_library(POINT, "cuda", "sm_90")
        self.assertEqual(found and found.path.parent.name[0], "a", "its PTX")
        self.assertTrue(any("has code for sm_100, and this is sm_90" in reason for reason in unfit))

    def test_roots(self) -> None:
        os.environ.update(
            NORMROPE_CACHE_DIR="", XDG_CACHE_HOME="/xdg", TMPDIR="/temporary", NORMROPE_CACHE_READONLY="/r:/s"
        )
        user = f"/temporary/normrope-{os.getuid()}"
        home = str(Path.home() / ".cache" / "normrope")
        self.assertEqual([str(root) for root in _jit._roots()], ["/xdg/normrope", home, user, "/r", "/s"])
        for no_folder in ("", "relative"):
            os.environ["XDG_CACHE_HOME"] = no_folder
            self.assertEqual([str(root) for root in _jit._roots()], [home, user, "/r", "/s"])
        os.environ["NORMROPE_CACHE_DIR"] = "own"
        self.assertEqual([str(root) for root in _jit._roots()], [str(self.folder / "own"), "/r", "/s"])

    def test_a_root_that_cannot_be_read_is_among_the_reasons(self) -> None:
        self.cache.rmdir()
        odd = ((self.cache.touch, "Not a directory"), (lambda: self.cache.symlink_to(self.cache), "symbolic"))
        for make, why in odd:
            make()
            with self.subTest(why=why):
                reason = normrope.why_not(96, True, "bf16", device="cpu") or ""
                self.assertRegex(reason, f"cache cannot be read: .*{why}")
            self.cache.unlink()
        self.cache.mkdir(mode=0o700)
        with mock.patch.object(Path, "iterdir", side_effect=PermissionError(13, "Permission denied")):
            self.assertIn("cache cannot be read: Permission denied", normrope.why_not(96, True, "bf16") or "")

    def test_another_environment_or_a_minute_later_is_another_try(self) -> None:
        self.command(fails=True)
        for change, calls in ((lambda: None, 1), (lambda: os.environ.update(CXX="other"), 2), (self.wait, 3)):
            change()
            with self.refuses("kernel-not-found", "no C++ compiler was found"):
                self.runs()
            self.assertEqual(len(self.calls()), calls)
        self.command()
        self.wait()
        self.runs()

    def wait(self) -> None:
        for key, (at, said) in list(_jit._failures.items()):
            _jit._failures[key] = at - _jit._FAILURE_KEPT_S - 1, said

    def test_a_known_kernel_does_not_wait_for_another_to_be_compiled(self) -> None:
        options: dict[str, Any] = {"library": build(), "device": "cpu"}
        self.assertIsNone(normrope.why_not(64, True, "bf16", **options))
        entered, leave = threading.Event(), threading.Event()

        def compiled(*_: object) -> Any:
            entered.set()
            leave.wait(20)
            raise normrope.NormropeError("compile-failed", "it was slow", "Wait")

        with mock.patch.object(_kernels, "compiled_library", compiled), ThreadPoolExecutor(2) as pool:
            slow = pool.submit(normrope.why_not, 96, True, "bf16", **options)
            entered.wait(20)
            for head_dim in (64, 128):  # one that was asked for, and one that was not
                self.assertIsNone(pool.submit(normrope.why_not, head_dim, True, "bf16", **options).result(10))
            leave.set()
            self.assertIn("it was slow", slow.result() or "")


if __name__ == "__main__":
    unittest.main()
