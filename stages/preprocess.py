"""Turn the kept images of the corpus, the folder that is the argument, into pixels: data/processed/."""

import sys
from pathlib import Path

from ganpipe.corpus.params import PreprocessParams
from ganpipe.corpus.preprocess import preprocess
from ganpipe.corpus.shards import Images
from ganpipe.dedupe.keep import read_kept
from ganpipe.errors import entry
from ganpipe.files import write_json
from ganpipe.manifest import verified
from ganpipe.settings import load_params
from ganpipe.tracking import inputs, told
from ganpipe.tracking.run import track

DEDUPED, OUT = Path("data/deduped"), Path("data/processed")


@entry
def main() -> None:
    params = load_params(PreprocessParams, "preprocess")
    images, deduped = Images(verified(Path(sys.argv[1]))), verified(DEDUPED)
    with track("preprocess", inputs.of_preprocess(images, deduped)) as run:
        figures = preprocess(params, images, read_kept(deduped), OUT)
        write_json(Path("metrics/preprocess.json"), figures)
        told.data(run, "preprocess", OUT)


if __name__ == "__main__":
    main()
