"""Get the corpus: data/raw/<name>/."""

from pathlib import Path

from ganpipe.corpus.download import download
from ganpipe.corpus.params import DownloadParams
from ganpipe.errors import entry
from ganpipe.files import write_json
from ganpipe.settings import load_params
from ganpipe.tracking import told
from ganpipe.tracking.run import track


@entry
def main() -> None:
    params = load_params(DownloadParams, "download")
    with track("download", inputs={}) as run:
        out = Path("data/raw") / params.name
        write_json(Path("metrics/download.json"), download(params, out))
        told.data(run, "download", out)


if __name__ == "__main__":
    main()
