"""A user's mistake ends in one sentence and exit status 1, never in a traceback."""

import errno
import functools
import sys
from collections.abc import Callable

FULL = (errno.ENOSPC, errno.EDQUOT)  # a disk, or what a user may take of it


def printable(words: str) -> str:
    """With escapes for what a terminal obeys: a sentence may quote names and answers from outside."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in words)


class UserError(Exception):
    """Something the user can mend. The message says what is wrong, where, and what to do."""


def entry(main: Callable[[], None]) -> Callable[[], None]:
    """Wrap a program's main function: sentences for what a user can mend, tracebacks only for our own faults."""

    @functools.wraps(main)
    def wrapped() -> None:
        try:
            main()
        except UserError as error:
            sys.exit(f"error: {printable(str(error))}")
        except KeyboardInterrupt:
            print("interrupted: run the same command again to continue", file=sys.stderr)
            sys.exit(130)
        except OSError as error:
            if error.errno not in FULL:
                raise
            where = f" while writing {error.filename}" if error.filename else ""
            sys.exit(f"error: the disk is full{where}: free some space and run the same command again to continue")

    return wrapped
