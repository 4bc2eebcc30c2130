"""Get the labelled sets to evaluate on: data/evaluation/<name>/ for each."""

from pathlib import Path

from ganpipe.corpus.labelled import evaluation_set
from ganpipe.corpus.params import EvaluationSetsParams
from ganpipe.errors import entry
from ganpipe.settings import load_params


@entry
def main() -> None:
    params = load_params(EvaluationSetsParams, "evaluate")
    for name in params.datasets:
        evaluation_set(name, params, Path("data/evaluation") / name)


if __name__ == "__main__":
    main()
