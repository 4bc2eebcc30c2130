"""The `ganpipe` command."""

import argparse
import os
import socket
import sys
from pathlib import Path

from ganpipe.errors import UserError, entry


@entry
def main() -> None:
    """Parse the command line and run the subcommand."""
    parser = argparse.ArgumentParser(prog="ganpipe", description="Tools around the pipeline; `dvc repro` runs it.")
    commands = parser.add_subparsers(dest="command", required=True)
    pages = commands.add_parser("ui", help="open the MLflow pages of this project's runs")
    pages.add_argument("--port", type=int, default=5000, help="port on 127.0.0.1 (default: %(default)s)")
    commands.add_parser("check", help="check every setting in params.yaml before a long run starts")
    theano = commands.add_parser(
        "import-theano", help="turn the DCGAN authors' released arrays into a discriminator that evaluate measures"
    )
    theano.add_argument("folder", type=Path, help="with the files *_discrim_params.jl_NN.npy")
    theano.add_argument("--out", type=Path, default=Path("models/imported"), help="default: %(default)s")
    theano.add_argument(
        "--images",
        default="data/processed",
        help="a corpus for its statistics, :train behind it for that split (default: %(default)s)",
    )
    theano.add_argument("--network", help="which table of models/dcgan.py; told from the kernels otherwise")
    theano.add_argument("--layers", type=int, help="only so many of the first convolutions")
    distances = commands.add_parser("distances", help="how far generated images lie from real ones: FID, KID and more")
    distances.add_argument("real", help="a folder of images, such as data/processed or data/evaluation/cifar10:test")
    distances.add_argument("generated", help="another one, or a model: models/gan, or models/gan:average")
    distances.add_argument("--samples", type=int, help="so many images of each; all that there are otherwise")
    distances.add_argument("--seed", type=int, default=0, help="of every draw (default: %(default)s)")
    distances.add_argument("--out", type=Path, help="a JSON file for the figures")
    arguments = parser.parse_args()
    if arguments.command == "ui":
        _ui(arguments.port)
    elif arguments.command == "import-theano":
        _import_theano(arguments)
    elif arguments.command == "distances":
        _distances(arguments)
    else:
        _check()


def _check() -> None:
    from ganpipe.corpus.params import DownloadParams, PreprocessParams
    from ganpipe.dedupe.params import DedupeParams
    from ganpipe.evaluation.params import EvaluateParams
    from ganpipe.settings import Section, load_params, read_params
    from ganpipe.training.params import TrainParams

    models: dict[str, type[Section]] = {
        "download": DownloadParams,
        "dedupe": DedupeParams,
        "preprocess": PreprocessParams,
        "train": TrainParams,
        "evaluate": EvaluateParams,
    }
    faults = [
        f"params.yaml: no stage reads the section {section}; the stages are {', '.join(models)}"
        for section in read_params()
        if section not in models
    ]
    for section, model in models.items():
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
    from ganpipe.corpus.catalogue import FOLDER
    from ganpipe.corpus.params import DownloadParams, PreprocessParams
    from ganpipe.evaluation.params import EvaluateParams
    from ganpipe.models.dcgan import ARCHITECTURES
    from ganpipe.settings import load_params
    from ganpipe.training.params import TrainParams

    download, preprocess = load_params(DownloadParams, "download"), load_params(PreprocessParams, "preprocess")
    train, evaluate = load_params(TrainParams, "train"), load_params(EvaluateParams, "evaluate")
    table, own = ARCHITECTURES[train.network], evaluate.weights is None
    layers = len(table.discriminator)
    rules = {
        f"download.name is {FOLDER}: set download.path": download.name == FOLDER and not download.path,
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


def _import_theano(arguments: argparse.Namespace) -> None:
    import numpy as np

    from ganpipe.corpus.shards import Images
    from ganpipe.models import theano
    from ganpipe.models.dcgan import ARCHITECTURES
    from ganpipe.models.pixels import freeze_on
    from ganpipe.models.store import save_gan
    from ganpipe.runtime import choose_device

    if arguments.network is not None and arguments.network not in ARCHITECTURES:
        raise UserError(f"there is no network {arguments.network}, choose from {', '.join(ARCHITECTURES)}")
    if arguments.layers is not None and arguments.layers < 1:
        raise UserError(f"--layers is {arguments.layers}: it is a number from 1")
    if (arguments.out / "generator.safetensors").exists():
        raise UserError(f"{arguments.out} holds a trained generator: choose another folder by --out")
    network = theano.load_discriminator(arguments.folder, arguments.network, arguments.layers)
    folder, _, split = arguments.images.partition(":")
    images, size = Images(Path(folder)), network.table.size
    if split and split not in images.splits:
        raise UserError(f"{folder} has no split {split!r}")
    rows = images.rows(split) if split else np.arange(len(images))
    if images.manifest["shape"][1:] != [size, size, 3]:
        raise UserError(f"{arguments.images} holds images of another size than the {size}x{size} that it takes")
    device = choose_device()
    freeze_on(network.to(device), len(rows), lambda chosen: images.pixels(rows[chosen]), device)
    name = f"of {arguments.folder.name}"
    corpus = {"name": name, "images": None, "resize": images.manifest.get("resize", "bilinear")}
    save_gan(arguments.out, {"discriminator": network}, {"corpus": corpus})
    print(f"{arguments.out}: {len(network.convs)} convolutions, {network.feature_count:,} features")
    print(f"dvc exp run -S evaluate.weights={arguments.out} measures it, dvc repro --force evaluate measures it again")


def _distances(arguments: argparse.Namespace) -> None:
    from ganpipe import files
    from ganpipe.evaluation.image_sets import compare
    from ganpipe.runtime import choose_device

    if arguments.seed < 0:
        raise UserError(f"--seed is {arguments.seed}: it is a number from 0")
    if arguments.out is not None and arguments.out.is_dir():
        raise UserError(f"--out is {arguments.out}, a folder: name a file")
    found = compare(arguments.real, arguments.generated, arguments.samples, arguments.seed, choose_device())
    for name, value in found.items():
        print(f"{name:<{max(map(len, found))}}  {value:.5g}")
    if arguments.out is not None:
        files.write_json(arguments.out, found)


def _ui(port: int) -> None:
    from ganpipe import comparison
    from ganpipe.tracking import find_experiment, store_uri

    uri = store_uri()
    if uri.startswith(("http://", "https://")):
        print(f"MLFLOW_TRACKING_URI is set: the pages are at {uri}")
        return
    if not 0 < port < 65536:
        raise UserError(f"--port is {port}: choose one from 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(
                f"port {port} cannot be used ({error.strerror}): choose another: make ui PORT=5001"
            ) from None
    here = f"http://127.0.0.1:{port}"
    print(f"MLflow: {here} (Ctrl-C ends it)", flush=True)
    experiment = find_experiment()
    if experiment is not None:
        print(f"which training is better: {here}{comparison.address(experiment)}", flush=True)
    server = ["mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port)]
    os.execv(sys.executable, [sys.executable, "-m", *server, "--workers", "1"])
