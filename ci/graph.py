"""Write into every dvc.yaml what its stages' code depends on: `make graph`, after an import was added or removed.

Only the lines of `deps` that name modules and scripts are touched; tests/test_graph.py holds them to be true.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from support.graph import GRAPHS, renewed  # noqa: E402


def main() -> None:
    """Rewrite what has changed, and say which files that were."""
    for path in GRAPHS:
        text = renewed(path)
        if text != path.read_text(encoding="utf-8"):
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
