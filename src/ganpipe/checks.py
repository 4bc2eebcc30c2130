"""What `ganpipe check` finds in params.yaml before a long run starts."""

from pathlib import Path

from ganpipe.analysis.params import AnalyseParams
from ganpipe.corpus.catalogue import CATALOGUE, NAMES
from ganpipe.corpus.faces import HAAR
from ganpipe.corpus.params import DownloadParams, PreprocessParams
from ganpipe.dedupe.params import DedupeParams
from ganpipe.errors import UserError
from ganpipe.evaluation.params import EvaluateParams
from ganpipe.models.dcgan import ARCHITECTURES
from ganpipe.settings import Section, load_params, read_params
from ganpipe.training.params import TrainParams

MODELS: dict[str, type[Section]] = {
    "download": DownloadParams,
    "dedupe": DedupeParams,
    "preprocess": PreprocessParams,
    "train": TrainParams,
    "evaluate": EvaluateParams,
    "analyse": AnalyseParams,
}


def check() -> None:
    """A UserError that names every fault of params.yaml, one a line."""
    faults = [
        f"params.yaml: no stage reads the section {section}; the stages are {', '.join(MODELS)}"
        for section in read_params()
        if section not in MODELS
    ]
    for section, model in MODELS.items():
        try:
            load_params(model, section)
        except UserError as error:
            faults.append(str(error))
    if not faults:
        faults = _between_sections()
    if faults:
        raise UserError("\nerror: ".join(faults))


def _between_sections() -> list[str]:
    """What each section allows, but not together."""
    download, preprocess = load_params(DownloadParams, "download"), load_params(PreprocessParams, "preprocess")
    train, evaluate = load_params(TrainParams, "train"), load_params(EvaluateParams, "evaluate")
    table, own = ARCHITECTURES[train.network], evaluate.weights is None
    layers, vetoes = len(table.discriminator), load_params(DedupeParams, "dedupe").vetoes
    unknown, theirs = download.name not in NAMES, download.name in set(NAMES) - set(CATALOGUE)
    rules = {
        f"download.name is {download.name}, but there is no such data set: choose one of {', '.join(NAMES)}": unknown,
        f"download.name is {download.name}: set download.path": theirs and not download.path,
        "download.name is scrape: set download.contact": download.name == "scrape" and not download.contact,
        f"download.path is {download.path}, but {download.name} comes from the catalogue: set it to null": download.name
        in CATALOGUE
        and download.path is not None,
        "preprocess.crop is faces: set download.faces": preprocess.crop == "faces" and not download.faces,
        f"download.faces is {download.faces}, which is neither haar nor a file": download.faces not in (None, HAAR)
        and not Path(str(download.faces)).is_file(),
        f"dedupe.vetoes is {vetoes}, which is no file": vetoes is not None and not Path(vetoes).expanduser().is_file(),
        f"preprocess.side is {preprocess.side}, but {train.network} takes {table.size}": preprocess.side != table.size,
        "evaluate.kept is true: set train.keep_every": own and evaluate.kept and not train.keep_every,
        "evaluate.average is true: set train.average": own and evaluate.average and not train.average,
        f"evaluate.layers names more than the {layers} of {train.network}": own
        and max(evaluate.layers or [1]) > layers,
        f"evaluate.weights is {evaluate.weights}, which is no folder": not own
        and not Path(str(evaluate.weights)).is_dir(),
        f"evaluate.duplicates is {evaluate.duplicates}, which is no file": evaluate.duplicates is not None
        and not Path(evaluate.duplicates).expanduser().is_file(),
    }
    return [f"params.yaml: {rule}" for rule, broken in rules.items() if broken]
