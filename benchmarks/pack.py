"""Making square pixels of JPEGs: the preprocess stage's work, beside torchvision's loader and beside bare decoding.

    python benchmarks/pack.py [--quick] [--json PATH]

The images are photographs of GANPIPE_MIRROR's `facades` and `lfw250`, made 500x375 and written again at quality 90;
without a mirror, random scenes. All three use two processes, to 64x64: ours as the stage does it, from shards to pixel
shards; torchvision's ImageFolder, Resize (antialiased) and CenterCrop in a DataLoader; and bare decoding of each file
as a whole and resizing, which keeps nothing: by OpenCV, by areas or by interpolation, and by Pillow, by interpolation.
Both decode by libjpeg-turbo.
"""

import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from reporting import arguments, report

from ganpipe.corpus.pack import pack_folder
from ganpipe.corpus.params import PreprocessParams
from ganpipe.corpus.preprocess import preprocess
from ganpipe.corpus.shards import Images
from ganpipe.errors import entry
from ganpipe.settings import read_params

ROOT = Path(__file__).resolve().parent.parent
SIDE, WORKERS = 64, 2
COUNT, QUICK = 8000, 1000  # images
BILINEAR = (("bilinear", "opencv_linear"), ("bilinear", "pillow_linear"))


def photographs() -> list[Image.Image]:
    """What the files are made of: large, of every kind at hand."""
    mirror = os.environ.get("GANPIPE_MIRROR")
    if mirror is None:
        source = np.random.default_rng(0)
        small = [Image.fromarray(source.integers(0, 256, (48, 64, 3), np.uint8)) for _ in range(200)]
        return [image.resize((700, 525), Image.Resampling.BICUBIC) for image in small]
    paths = sorted(path for name in ("facades/train", "lfw250") for path in Path(mirror, name).glob("*.jpg"))
    return [Image.open(path).convert("RGB") for path in paths]


def write(folder: Path, held: list[Image.Image], count: int) -> None:
    """`count` JPEGs of 500x375, each another part of a photograph."""
    source = np.random.default_rng(1)
    for number in range(count):
        image = held[number % len(held)]
        wide = int(source.integers(150, min(image.width, image.height * 4 // 3)))
        left = int(source.integers(0, image.width - wide + 1))
        top = int(source.integers(0, image.height - wide * 3 // 4 + 1))
        box = (left, top, left + wide, top + wide * 3 // 4)
        image.resize((500, 375), Image.Resampling.BICUBIC, box).save(folder / f"{number:05}.jpg", quality=90)


def ours(images: Images, resize: str, to: Path) -> None:
    """The stage."""
    shipped = read_params(ROOT / "params.yaml")["preprocess"]
    settings = PreprocessParams.model_validate({**shipped, "side": SIDE, "resize": resize, "crop": "center"})
    preprocess(settings, images, np.arange(len(images)), to)


def torchvision_loader(root: Path) -> int:
    """How most people do it; the images that came."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    square = transforms.Compose([transforms.Resize(SIDE), transforms.CenterCrop(SIDE), transforms.PILToTensor()])
    loader = DataLoader(datasets.ImageFolder(str(root), square), batch_size=256, num_workers=WORKERS)
    return sum(len(pixels) for pixels, _ in loader)


def bare(path: Path, interpolation: int) -> None:
    """Decode and resize."""
    import cv2

    cv2.setNumThreads(1)
    pixels = np.asarray(cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR))
    scale = SIDE / min(pixels.shape[:2])
    cv2.resize(pixels, (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)), interpolation=interpolation)


def bare_pillow(path: Path) -> None:
    """The same as `bare`, as Pillow does it."""
    with Image.open(path) as image:
        scale = SIDE / min(image.size)
        wide, high = round(image.width * scale), round(image.height * scale)
        image.transform((wide, high), Image.Transform.EXTENT, (0, 0, *image.size), Image.Resampling.BILINEAR)


def in_pool(work: Callable[[Path], None], paths: list[Path]) -> None:
    """Of all files, in two processes."""
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:  # as a DataLoader's workers are
        for _ in pool.imap(work, paths, chunksize=64):
            pass


def rate(count: int, work: Callable[[], object]) -> float:
    """Images a second, the start of processes included; the better of two runs."""
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return count / min(seconds)


@entry
def main() -> None:
    """Measure, print, write."""
    import cv2

    asked = arguments("How fast JPEGs become square pixels")
    count = QUICK if asked.quick else COUNT
    figures: dict[str, float] = {}
    held = photographs()  # before the folder is left that a mirror's path may start from
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        root = Path("photographs/all")
        root.mkdir(parents=True)
        write(root, held, count)
        paths = sorted(root.iterdir())
        figures["kilobytes_an_image"] = sum(path.stat().st_size for path in paths) / count / 1000
        figures["download_images_per_second"] = rate(count, lambda: pack_folder("download.path", root, Path("raw")))
        images = Images(Path("raw"))
        for resize in ("antialias", "bilinear"):
            out = Path(resize)
            figures[f"{resize}_images_per_second"] = rate(count, partial(ours, images, resize, out))
            shutil.rmtree(out)
        figures["torchvision_images_per_second"] = rate(count, lambda: torchvision_loader(root.parent))
        for name, interpolation in (("area", cv2.INTER_AREA), ("linear", cv2.INTER_LINEAR)):
            work = partial(bare, interpolation=interpolation)
            figures[f"opencv_{name}_images_per_second"] = rate(count, partial(in_pool, work, paths))
        figures["pillow_linear_images_per_second"] = rate(count, partial(in_pool, bare_pillow, paths))
        os.chdir("/")
    for resize, peer in (("antialias", "torchvision"), ("antialias", "opencv_area"), *BILINEAR):
        over = figures[f"{resize}_images_per_second"] / figures[f"{peer}_images_per_second"]
        figures[f"{resize}_over_{peer}"] = over
    report(figures, asked.json)


if __name__ == "__main__":
    main()
