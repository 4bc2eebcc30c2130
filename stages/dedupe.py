"""Find near-duplicates in the corpus, the folder that is the first argument: data/deduped/.

Also of the test images of the evaluation sets, the folders in the second argument.
"""

import sys
from pathlib import Path

from ganpipe.corpus.shards import Images
from ganpipe.dedupe.dedupe import dedupe
from ganpipe.dedupe.params import DedupeParams
from ganpipe.errors import entry
from ganpipe.files import write_json
from ganpipe.manifest import verified
from ganpipe.runtime import choose_device
from ganpipe.settings import load_params
from ganpipe.tracking import inputs, told
from ganpipe.tracking.run import track

OUT = Path("data/deduped")


@entry
def main() -> None:
    params = load_params(DedupeParams, "dedupe")
    images = Images(verified(Path(sys.argv[1])))
    tests = [Images(verified(each.folder)) for each in inputs.evaluation_sets(Path(sys.argv[2]))]
    with track("dedupe", inputs.of_dedupe(images, tests)) as run:
        figures = dedupe(params, images, tests, "train", choose_device(), OUT)
        write_json(Path("metrics/dedupe.json"), figures)
        told.dedupe(run)


if __name__ == "__main__":
    main()
