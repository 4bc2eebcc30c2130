from pathlib import Path

from ganpipe.corpus.shards import Images
from ganpipe.tracking import inputs


def test_what_dedupe_and_preprocess_read_is_all_in_their_keys(corpus: Images) -> None:
    alone, beside = inputs.of_dedupe(corpus, []), inputs.of_dedupe(corpus, [corpus])
    assert alone["raw"] == beside["raw"] == corpus.digest
    assert alone["evaluation"] != beside["evaluation"]
    keys = []
    for content in (b"one", b"other"):
        Path("keep.parquet").write_bytes(content)
        keys.append(inputs.of_preprocess(corpus, Path())["deduped"])
    assert keys[0] != keys[1]


def test_evaluation_sets_are_those_that_are_whole(corpus: Images) -> None:
    Path("half").mkdir()
    Path("whole").symlink_to(corpus.folder)
    assert [each.folder for each in inputs.evaluation_sets(Path())] == [Path("whole")]
