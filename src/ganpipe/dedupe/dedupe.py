"""The dedupe stage: hash every image of the corpus, group equal and near codes, keep one of each group."""

from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
import torch
from PIL import Image

from ganpipe import files
from ganpipe.corpus.shards import Images
from ganpipe.dedupe import report
from ganpipe.dedupe.autoencoder import SIZE, fit
from ganpipe.dedupe.clusters import Clusters, group
from ganpipe.dedupe.keep import KEEP
from ganpipe.dedupe.params import DedupeParams
from ganpipe.manifest import MANIFEST, SCHEMA
from ganpipe.progress import Progress

HASHES = {"phash": imagehash.phash, "dhash": imagehash.dhash, "whash": imagehash.whash}
BATCH = 4096


def dedupe(params: DedupeParams, images: Images, split: str, device: torch.device, out: Path) -> dict[str, Any]:
    """Fill `out` with `keep.parquet`, the encoder, a picture of the biggest groups and a manifest; the figures."""
    rows = images.rows(split)
    squares = np.concatenate(list(images.squares(rows, SIZE, "bilinear")))
    with files.atomic_folder(out) as draft:
        codes, extra = _codes(params, squares, device, draft)
        clusters = group(codes, params.radius) if codes is not None else _everything(len(rows))
        _write_keep(draft, rows, clusters)
        report.picture(clusters, lambda indices: squares[indices]).save(draft / "groups.png")
        figures = {**report.figures(clusters, codes), **extra}
        manifest = {
            "schema": SCHEMA,
            "settings": params.model_dump(),
            "figures": figures,
            "corpus": images.digest,
        }
        if codes is not None:
            manifest["bit_entropies"] = [round(float(value), 4) for value in report.bit_entropies(codes)]
        files.write_json(draft / MANIFEST, manifest)
    print(f"kept {figures['kept']:,} of {figures['images']:,} images; groups of duplicates: {figures['groups']:,}")
    return figures


def _write_keep(folder: Path, rows: np.ndarray, clusters: Clusters) -> None:
    columns = {
        "index": rows,
        "cluster": clusters.cluster,
        "representative": rows[clusters.representative],
        "distance": clusters.distance,
        "kept": clusters.kept,
    }
    pq.write_table(pa.table(columns), folder / KEEP)


def _codes(
    params: DedupeParams, squares: np.ndarray, device: torch.device, draft: Path
) -> tuple[np.ndarray | None, dict[str, Any]]:
    """Packed codes, uint8 (N, B/8), and figures of how they were made; None where nothing is to be compared."""
    if params.method == "none":
        return None, {}
    if params.method == "autoencoder":
        model, error = fit(params, len(squares), lambda indices: squares[indices], device)
        state = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
        (draft / "encoder.safetensors").write_bytes(safetensors.torch.save(state))
        parts = [model.codes(squares[start : start + BATCH]) for start in range(0, len(squares), BATCH)]
        return np.concatenate(parts), {"reconstruction_error": error}
    codes = []
    with Progress(f"hashing with {params.method}", len(squares), "images") as progress:
        for square in squares:
            codes.append(np.packbits(HASHES[params.method](Image.fromarray(square)).hash))
            progress.advance()
    return np.stack(codes), {}


def _everything(count: int) -> Clusters:
    return Clusters(np.arange(count), np.arange(count), np.zeros(count, np.uint16))
