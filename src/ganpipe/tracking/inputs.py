"""What each stage reads, by checksums: they become tags of its run, and part of the key by which it is known."""

from collections.abc import Sequence
from pathlib import Path

from ganpipe import files
from ganpipe.corpus.shards import Images


def of_dedupe(raw: Images, tests: Sequence[Images]) -> dict[str, str]:
    """The corpus, and the evaluation sets whose test images are kept out of it."""
    return {"raw": raw.digest, "evaluation": files.digest([each.digest for each in tests])}


def of_preprocess(raw: Images, deduped: Path) -> dict[str, str]:
    """The corpus, and which of it is kept."""
    return {"raw": raw.digest, "deduped": files.sha256(deduped / "keep.parquet")[:16]}


def evaluation_sets(folder: Path) -> list[Images]:
    """Those in the folder, by name."""
    return [Images(path.parent) for path in sorted(folder.glob("*/manifest.json"))]
