"""Get a labelled set to evaluate on: data/evaluation/<name>/. The name is the argument."""

import sys
from pathlib import Path

from ganpipe.corpus.catalogue import find
from ganpipe.corpus.download import download_entry
from ganpipe.errors import entry


@entry
def main() -> None:
    name = sys.argv[1]
    download_entry(find(name), Path("data/evaluation") / name)


if __name__ == "__main__":
    main()
