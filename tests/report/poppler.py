"""What Debian's poppler-utils say of a PDF, and what lies in it unseen."""

from __future__ import annotations

import re
import shutil
import subprocess
import zlib
from contextlib import suppress
from pathlib import Path


def told(*command: str | Path) -> str:
    assert shutil.which(str(command[0])), "install poppler-utils"
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True).stdout


def inflated(path: Path) -> bytes:
    """Every stream of a PDF, decompressed."""
    content = path.read_bytes()
    found = b""
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL):
        with suppress(zlib.error):
            found += zlib.decompress(stream)
    return content + found
