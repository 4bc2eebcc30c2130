"""`ganpipe` as a user has it, but in this process: Python and torch take seconds to start."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from subprocess import CompletedProcess
from unittest.mock import patch

from ganpipe.cli import main


def ganpipe(*words: str) -> CompletedProcess[str]:
    """What it says, and its exit status."""
    out, error, code = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(error), patch.object(sys, "argv", ["ganpipe", *words]):
        try:
            main()
        except SystemExit as end:
            if isinstance(end.code, str):
                error.write(f"{end.code}\n")
            code = end.code if isinstance(end.code, int) else 1
    return CompletedProcess(words, code, out.getvalue(), error.getvalue())
