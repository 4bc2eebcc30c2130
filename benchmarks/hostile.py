"""10,000 hostile inputs through the first stage: what came of them, seconds, memory; and the largest images it takes.

    python benchmarks/hostile.py [--quick] [--json PATH]

The inputs are those of tests/corpus/test_hostile.py: valid files of every kind that is read, these altered, and bombs
made by hand. Each goes through the stage in one process, of which the most memory that it held is told. Then, of each
format and mode, the largest image that is not called gigantic is decoded, in a process of its own.
"""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from reporting import arguments, report

from ganpipe.corpus import bounds

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from corpus.hostile import inputs
from corpus.hostile_run import REFUSED, run
from corpus.pictures import encode

COUNT, QUICK = 10_000, 2_000  # inputs; some 1,100 of them are made by hand
# Format, mode and options, and bytes of a pixel that bounds.needed tells.
FORMS: dict[str, tuple[str, dict[str, Any], float]] = {
    "JPEG": ("RGB", {}, 4),
    "JPEG turned": ("RGB", {"turned": 6}, 8),
    "JPEG progressive 4:2:0": ("RGB", {"progressive": True, "subsampling": 2}, 7),
    "JPEG progressive 4:4:4": ("RGB", {"progressive": True, "subsampling": 0}, 10),
    "JPEG CMYK": ("CMYK", {}, 8),
    "JPEG progressive CMYK": ("CMYK", {"progressive": True}, 12),
    "PNG": ("RGB", {"compress_level": 1}, 4),
    "PNG transparent": ("RGBA", {"compress_level": 1, "turned": 6}, 8),
    "PNG palette": ("P", {"transparency": 3}, 8),
    "PNG 16 bit": ("I;16", {"compress_level": 1}, 8),
    "TIFF LZW": ("RGB", {"compression": "tiff_lzw"}, 5),
    "WEBP": ("RGB", {"method": 0}, 17),
    "AVIF": ("RGB", {"speed": 10, "subsampling": "4:4:4"}, 11),
    "AVIF transparent": ("RGBA", {"speed": 10, "subsampling": "4:4:4"}, 13),
}
CHILD = """
import sys, time
from pathlib import Path
import ganpipe.corpus.pack
from ganpipe.corpus.images import decode
image = decode(Path(sys.argv[1]).read_bytes())
status = Path("/proc/self/status").read_text().splitlines()
print(int(next(line for line in status if line.startswith("VmHWM")).split()[1]) * 1024)
"""


def main() -> None:
    """Measure, print, write."""
    asked = arguments("What comes of hostile inputs")
    figures = hostile(QUICK if asked.quick else COUNT)
    if not asked.quick:
        figures |= largest()
    report(figures, asked.json)


def hostile(count: int) -> dict[str, float]:
    """The numbers of inputs by what came of them, and why."""
    came: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    slowest, peak, images, began = 0.0, 0, 0, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for outcome in run(inputs(count), Path(folder)):
            known = outcome.came == "images" or outcome.came.startswith(REFUSED)
            came[outcome.came.removeprefix(REFUSED) if known else "escaped"] += outcome.inputs
            if outcome.came in ("images", REFUSED + "BrokenImage"):
                reasons.update(outcome.rejected)
            if outcome.inputs == 1:
                slowest = max(slowest, outcome.seconds)
            peak, images = max(peak, outcome.peak), images + outcome.images
            if not known:
                print(f"{outcome.input.kind}, {outcome.input.name}: {outcome.came}")
    return {
        "inputs": came.total(),
        "escaped": came.pop("escaped", 0),
        **{f"ended_in_{name}": number for name, number in came.most_common()},
        **{f"because_{'_'.join(reason.split())}": number for reason, number in reasons.most_common()},
        "images_that_came_through": images,
        "seconds": time.perf_counter() - began,
        "seconds_of_the_slowest": slowest,
        "peak_memory_mib": peak / 2**20,
    }


def largest() -> dict[str, float]:
    """Of each form, millions of pixels, and what the process that decodes them holds."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (mode, options, each) in FORMS.items():
            path = Path(folder, "largest")
            pixels = 0.97 * bounds.ROOM / each  # the file takes some, too
            path.write_bytes(picture(name.split()[0], mode, round(pixels**0.5), dict(options)))
            done = subprocess.run([sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, check=True)
            key = "_".join(name.lower().replace(":", "").split())
            figures[f"megapixels_of_{key}"] = pixels / 1e6
            figures[f"peak_memory_mib_of_{key}"] = int(done.stdout) / 2**20
            print(f"{name}: {pixels / 1e6:.0f} million pixels in {int(done.stdout) / 2**20:.0f} MiB", flush=True)
    return figures


def picture(form: str, mode: str, side: int, options: dict[str, Any]) -> bytes:
    """A square of coloured squares."""
    Image.MAX_IMAGE_PIXELS = None
    blocks = np.random.default_rng(0).integers(0, 256, (250, 250, 3), np.uint8)
    whole = Image.fromarray(blocks).resize((side, side), Image.Resampling.NEAREST)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(whole.getchannel(0)).astype(np.uint16) * 257)
    elif mode == "P":
        image = whole.quantize(64, method=Image.Quantize.FASTOCTREE)
    else:
        image = whole.convert(mode)
    if turned := options.pop("turned", None):
        exif = Image.Exif()
        exif[0x0112] = turned
        options["exif"] = exif
    return encode(image, form, **options)


if __name__ == "__main__":
    main()
