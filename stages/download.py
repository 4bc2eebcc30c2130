"""Get the corpus: data/raw/<name>/."""

from pathlib import Path

from ganpipe.corpus.download import download
from ganpipe.corpus.params import DownloadParams
from ganpipe.errors import entry
from ganpipe.files import write_json
from ganpipe.settings import load_params
from ganpipe.tracking import track


@entry
def main() -> None:
    params = load_params(DownloadParams, "download")
    with track("download", inputs={}) as run:
        figures = download(params, Path("data/raw") / params.name)
        write_json(Path("metrics/download.json"), figures)
        run.metrics(figures)


if __name__ == "__main__":
    main()
