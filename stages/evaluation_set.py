"""Get a labelled set to evaluate on: data/evaluation/<name>/. The name is the argument."""

import sys
from pathlib import Path

from ganpipe.corpus.labelled import evaluation_set
from ganpipe.corpus.params import EvaluationSetParams
from ganpipe.errors import entry
from ganpipe.settings import load_params


@entry
def main() -> None:
    name = sys.argv[1]
    evaluation_set(name, load_params(EvaluationSetParams, "evaluate"), Path("data/evaluation") / name)


if __name__ == "__main__":
    main()
