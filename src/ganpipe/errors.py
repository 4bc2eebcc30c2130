"""A user's mistake ends in one sentence and exit status 1, never in a traceback."""

import errno
import functools
import os
import select
import signal
import sys
from collections.abc import Callable

STANDARD_OUTPUT = 1
FULL = (errno.ENOSPC, errno.EDQUOT)  # a disk, or what a user may take of it


def printable(words: str, kept: str = "\n") -> str:
    """With escapes for all that cannot be seen or turns the writing around, but for the letters `kept`.

    A terminal obeys such letters, and a sentence may quote names and answers from outside.
    """
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in words)


class UserError(Exception):
    """Something the user can mend. The message says what is wrong, where, and what to do."""


def entry(main: Callable[[], None]) -> Callable[[], None]:
    """Wrap a program's main function: sentences for what a user can mend, tracebacks only for our own faults."""

    @functools.wraps(main)
    def wrapped() -> None:
        try:
            main()
            sys.stdout.flush()  # or the interpreter would complain at its end that nobody reads any more
        except UserError as error:
            sys.exit(f"error: {printable(str(error))}")
        except KeyboardInterrupt:
            print("interrupted: run the same command again to continue", file=sys.stderr)
            sys.exit(130)
        except BrokenPipeError:
            if _has_a_reader(STANDARD_OUTPUT):
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), STANDARD_OUTPUT)  # for what is still to be flushed
            sys.exit(128 + signal.SIGPIPE)
        except OSError as error:
            if error.errno not in FULL:
                raise
            where = f" while writing {printable(str(error.filename))}" if error.filename else ""
            sys.exit(f"error: the disk is full{where}: free some space and run the same command again to continue")

    return wrapped


def _has_a_reader(descriptor: int) -> bool:
    """Not where it is a pipe whose other end was closed, as by `| head`."""
    poll = select.poll()
    poll.register(descriptor, 0)  # errors are told in any case
    return not poll.poll(0)
