"""The pages that `make reference` writes are what it would write now."""

import importlib.util
from types import ModuleType

from support.graph import ROOT


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "ci/reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_pages_are_what_is_written_now() -> None:
    for name, text in script().pages().items():
        assert (ROOT / "docs/reference" / name).read_text(encoding="utf-8") == text, "make reference"


def test_every_setting_of_the_pipeline_is_on_the_page() -> None:
    from ganpipe.settings import read_params

    page = script().settings()
    for section, values in read_params(ROOT / "params.yaml").items():
        for name in values:
            assert f"| `{section}.{name}` |" in page
