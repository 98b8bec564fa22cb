"""How much memory a statement needs, measured in a fresh process."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT


def peak_memory(statement, *arguments):
    """The most memory, in MiB, that a fresh process held at once while it ran ``statement``; pages of files apart.

    The kernel keeps the high-water mark, so that no peak is missed as it would be by looking now and then. (That of
    ``getrusage`` is no use here: a child begins with the mark of the process that started it.)
    """
    status = Path("/proc/self/status")
    if not status.is_file() or "VmHWM" not in status.read_text():
        pytest.skip("the kernel does not say how much memory a process had")
    code = f"import bridgeckpt, pathlib, sys\n{statement}\nprint(pathlib.Path('/proc/self/status').read_text())"
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kibibytes = dict(re.findall(r"^(\w+):\s+(\d+) kB$", done.stdout, re.MULTILINE))
    return (int(kibibytes["VmHWM"]) - int(kibibytes["RssFile"])) / 1024
