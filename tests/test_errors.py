"""What a user can mend ends in a sentence and an exit status; our own faults keep their traceback."""

import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from ganpipe.errors import UserError, entry

PROGRAM = """
from pathlib import Path
from ganpipe.errors import UserError, entry

@entry
def main() -> None:
    {body}

main()
"""


def run(body: str) -> tuple[int, str, str]:
    command = [sys.executable, "-c", PROGRAM.format(body=body)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_success_says_nothing() -> None:
    assert run("print('done')") == (0, "done\n", "")


def test_users_mistake_is_one_sentence() -> None:
    assert run("raise UserError('there is no x: make one')") == (1, "", "error: there is no x: make one\n")


def test_what_a_terminal_obeys_is_spelled_out() -> None:
    status, _, said = run(r"raise UserError('a\x1b]0;owned\x07b\x9b2J\u202e\udc80: caf\u00e9')")
    assert (status, said) == (1, "error: a\\x1b]0;owned\\x07b\\x9b2J\\u202e\\udc80: caf\u00e9\n")


@pytest.mark.parametrize("body", ["print('some', flush=True)", "print('some')"])
def test_whose_reader_went_away_ends_without_a_word(body: str) -> None:
    """As in `ganpipe doctor | head -1`."""
    read, written = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(body=body)], stdout=written, stderr=PIPE, check=False)
    os.close(written)
    assert (done.returncode, done.stderr) == (141, b"")


def test_another_pipe_that_broke_is_a_fault_of_ours() -> None:
    status, _, said = run("raise BrokenPipeError")
    assert (status, said.splitlines()[-1]) == (1, "BrokenPipeError")


def test_interruption_says_how_to_go_on() -> None:
    status, _, said = run("raise KeyboardInterrupt")
    assert (status, said) == (130, "interrupted: run the same command again to continue\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")
def test_full_disk_is_one_sentence() -> None:
    status, _, said = run("Path('/dev/full').write_text('x')")
    assert status == 1
    assert said.startswith("error: the disk is full")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("body", ["1 / 0", "Path('nowhere').read_text()"])
def test_our_own_faults_keep_their_traceback(body: str) -> None:
    status, _, said = run(body)
    assert status == 1
    assert said.startswith("Traceback")


def test_wrapped_function_keeps_its_name() -> None:
    @entry
    def main() -> None:
        """What it does."""
        raise UserError("no")

    assert (main.__name__, main.__doc__) == ("main", "What it does.")
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == "error: no"
