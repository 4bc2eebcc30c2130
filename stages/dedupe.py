"""Find near-duplicates in the corpus, the folder that is the argument: data/deduped/."""

import sys
from pathlib import Path

from ganpipe.corpus.shards import Images
from ganpipe.dedupe.dedupe import dedupe
from ganpipe.dedupe.params import DedupeParams
from ganpipe.errors import entry
from ganpipe.files import write_json
from ganpipe.runtime import choose_device
from ganpipe.settings import load_params
from ganpipe.tracking import track

OUT = Path("data/deduped")


@entry
def main() -> None:
    params = load_params(DedupeParams, "dedupe")
    images = Images(Path(sys.argv[1]))
    with track("dedupe", inputs={"raw": images.digest}) as run:
        figures = dedupe(params, images, "train", choose_device(), OUT)
        write_json(Path("metrics/dedupe.json"), figures)
        run.metrics(figures)
        run.picture("duplicates", OUT / "groups.png")


if __name__ == "__main__":
    main()
