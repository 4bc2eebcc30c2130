"""What `ganpipe check` finds in params.yaml before a long run starts."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from ganpipe.analysis.boxes import DETECTORS
from ganpipe.analysis.params import AnalyseParams, Analysing, ConceptsParams, PairsParams
from ganpipe.corpus.catalogue import CATALOGUE, NAMES
from ganpipe.corpus.entry import Numbers
from ganpipe.corpus.faces import HAAR
from ganpipe.corpus.params import DownloadParams, EvaluationSetsParams, PreprocessParams
from ganpipe.dedupe.params import DedupeParams
from ganpipe.errors import UserError
from ganpipe.evaluation.params import EvaluateParams
from ganpipe.models.dcgan import ARCHITECTURES
from ganpipe.models.mlp import PERCEPTRONS
from ganpipe.models.unet import UNETS
from ganpipe.settings import Section, load_params, read_params
from ganpipe.training.params import Training

GRAPH = Path("dvc.yaml")
ALWAYS = ("download", "train")  # sections that a study has, too
MODELS: dict[str, type[Section]] = {
    "download": DownloadParams,
    "dedupe": DedupeParams,
    "preprocess": PreprocessParams,
    "train": Training,
    "evaluate": EvaluateParams,
    "analyse": Analysing,
}


def check() -> None:
    """A UserError that names every fault of params.yaml, one a line."""
    there = read_params()
    faults = [
        f"params.yaml: no stage reads the section {section}; the stages are {', '.join(MODELS)}"
        for section in there
        if section not in MODELS
    ]
    settings: dict[str, Any] = {}
    read = _read_by_stages()
    models: dict[str, type[Section]] = {**MODELS, **({} if "evaluate" in read else {"evaluate": EvaluationSetsParams})}
    for section, model in models.items():
        if section in (*there, *ALWAYS) or any(name.partition(".")[0] == section for name in read):
            try:
                settings[section] = load_params(model, section)
            except UserError as error:
                faults.append(str(error))
    if not faults:
        faults = [f"params.yaml: {rule}" for rule, broken in _rules(**settings) if broken]
    if faults:
        raise UserError("\nerror: ".join(faults))


def _read_by_stages() -> set[str]:
    """What the graph's stages read of params.yaml: a study may have fewer sections than the pipeline, or parts."""
    if not GRAPH.is_file():
        return set(MODELS)
    try:
        stages = yaml.safe_load(GRAPH.read_text(encoding="utf-8"))["stages"].values()
        return {name for stage in stages for name in stage.get("do", stage).get("params", [])}
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{GRAPH} is no graph of stages: {' '.join(str(error).split())}") from None


Rules = Iterator[tuple[str, bool]]  # a sentence, and whether the settings break it


def _rules(
    download: DownloadParams,
    train: Training,
    dedupe: DedupeParams | None = None,
    preprocess: PreprocessParams | None = None,
    evaluate: EvaluateParams | EvaluationSetsParams | None = None,
    analyse: Analysing | None = None,
) -> Rules:
    """What each section allows, but not together."""
    yield from _of_download(download)
    if dedupe is not None:
        vetoes = dedupe.vetoes
        yield f"dedupe.vetoes is {vetoes}, which is no file", vetoes is not None and not _is_file(vetoes)
    if preprocess is not None:
        yield from _of_preprocess(preprocess, download, train)
    if isinstance(evaluate, EvaluateParams):
        yield from _of_evaluate(evaluate, train)
    if analyse is not None:
        yield from _of_analyse(analyse, train, preprocess, () if evaluate is None else evaluate.datasets)
    yield (
        f"{download.name} are numbers, of which only mlp1 learns, and no images to preprocess",
        isinstance(CATALOGUE.get(download.name), Numbers) and (train.network != "mlp1" or preprocess is not None),
    )


def _of_analyse(
    analyse: Analysing, train: Training, preprocess: PreprocessParams | None, datasets: Sequence[str]
) -> Rules:
    kind, others = analyse.model_dump()["kind"], {**{name: ["pairs"] for name in UNETS}, "mlp1": ["numbers"]}
    makes = others.get(train.network, ["images", "concepts"])
    yield f"analyse.kind is {kind}, but {train.network} makes {makes[0]}", kind not in makes
    yield "analyse.average is true: set train.average", analyse.average and not train.average
    if isinstance(analyse, PairsParams):
        splits = preprocess.held_out if preprocess is not None and isinstance(preprocess.held_out, list) else []
        yield f"analyse.split is {analyse.split}, which preprocess.held_out does not name", analyse.split not in splits
    if isinstance(analyse, ConceptsParams):
        forget, concepts = analyse.forget, analyse.concepts
        yield (
            f"analyse.forget is {forget}, which is neither a detector nor a file",
            forget not in (None, *DETECTORS) and not Path(str(forget)).is_file(),
        )
        yield f"analyse.concepts is {concepts}, which is no file", concepts is not None and not Path(concepts).is_file()
    if isinstance(analyse, AnalyseParams):
        yield (
            f"{train.network} has no convolutions, whose filters could be shown: set analyse.filters to 0",
            analyse.filters > 0 and train.network not in ARCHITECTURES,
        )
        yield "analyse.by_step is true: set train.keep_every", analyse.by_step and not train.keep_every
        yield (
            f"analyse.classifier is {analyse.classifier}, which evaluate.datasets does not name",
            analyse.classifier not in (None, *datasets),
        )


def _of_download(download: DownloadParams) -> Rules:
    unknown, theirs = download.name not in NAMES, download.name in set(NAMES) - set(CATALOGUE)
    yield (
        f"download.name is {download.name}, but there is no such data set: choose one of {', '.join(NAMES)}",
        unknown,
    )
    yield f"download.name is {download.name}: set download.path", theirs and not download.path
    yield "download.name is scrape: set download.contact", download.name == "scrape" and not download.contact
    yield (
        f"download.path is {download.path}, but {download.name} comes from the catalogue: set it to null",
        download.name in CATALOGUE and download.path is not None,
    )
    yield (
        f"download.faces is {download.faces}, which is neither haar nor a file",
        download.faces not in (None, HAAR) and not Path(str(download.faces)).is_file(),
    )


def _of_preprocess(preprocess: PreprocessParams, download: DownloadParams, train: Training) -> Rules:
    tables: dict[str, Any] = {**ARCHITECTURES, **PERCEPTRONS, **UNETS}
    size, pairs = tables[train.network].size, train.network in UNETS
    grey = getattr(tables[train.network], "channels", 3) == 1
    yield "preprocess.crop is faces: set download.faces", preprocess.crop == "faces" and not download.faces
    yield f"preprocess.side is {preprocess.side}, but {train.network} takes {size}", preprocess.side != size
    yield f"preprocess.crop is {preprocess.crop}, but {train.network} takes pairs", (preprocess.crop == "pairs") < pairs
    yield f"preprocess.crop is pairs, but {train.network} takes none", (preprocess.crop == "pairs") > pairs
    channels = f"{'one channel' if grey else 'three channels'}: set preprocess.grey to {str(grey).lower()}"
    yield f"{train.network} takes images of {channels}", not pairs and preprocess.grey != grey


def _of_evaluate(evaluate: EvaluateParams, train: Training) -> Rules:
    own, weights = evaluate.weights is None, evaluate.weights
    yield "evaluate.kept is true: set train.keep_every", own and evaluate.kept and not train.keep_every
    yield "evaluate.average is true: set train.average", own and evaluate.average and not train.average
    yield (
        f"{train.network} has no convolutional features of images: name others by evaluate.weights",
        own and train.network not in ARCHITECTURES,
    )
    if own and train.network in ARCHITECTURES:
        layers = len(ARCHITECTURES[train.network].discriminator)
        yield (
            f"evaluate.layers names more than the {layers} of {train.network}",
            max(evaluate.layers or [1]) > layers,
        )
        numbers, wanted = len(evaluate.layer_weights or []), len(evaluate.layers or range(layers))
        yield (
            f"evaluate.layer_weights are {numbers} numbers, but {train.network} has {layers} layers",
            bool(numbers) and numbers != wanted,
        )
    yield f"evaluate.weights is {weights}, which is no folder", not own and not Path(str(weights)).is_dir()
    duplicates = evaluate.duplicates
    yield f"evaluate.duplicates is {duplicates}, which is no file", duplicates is not None and not _is_file(duplicates)


def _is_file(path: str) -> bool:
    return Path(path).expanduser().is_file()
