"""What an analysis yields."""

from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from ganpipe import files

FRAME = 120  # milliseconds, of the film


@dataclass
class Analysis:
    """Flat `metrics`, pictures by name, tables (CSV) by name, and the frames of the walks' film."""

    metrics: dict[str, float | str | int] = field(default_factory=dict)
    pictures: dict[str, Image.Image] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)
    film: list[Image.Image] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Write pictures, tables and film."""
        with files.atomic_folder(folder) as draft:
            for name, picture in self.pictures.items():
                picture.save(draft / f"{name}.png")
            for name, table in self.tables.items():
                (draft / f"{name}.csv").write_text(table, encoding="utf-8")
            if self.film:
                there_and_back = [*self.film, *self.film[-2:0:-1]]
                there_and_back[0].save(
                    draft / "walks.gif", save_all=True, append_images=there_and_back[1:], duration=FRAME, loop=0
                )
