"""The `ganpipe` command."""

import argparse
import os
import shlex
import socket
import sys
from pathlib import Path
from typing import TypeAlias

from ganpipe.errors import UserError, entry

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # argparse has no other name for it


def parser() -> argparse.ArgumentParser:
    """Of every subcommand, with its options; `run` of what it parses is the function that does it."""
    parser = argparse.ArgumentParser(prog="ganpipe", description="Tools around the pipeline; `dvc repro` runs it.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_project(commands)
    _add_measuring(commands)
    _add_models(commands)
    _add_dedupe(commands)
    return parser


@entry
def main() -> None:
    """Parse the command line and run the subcommand."""
    arguments = parser().parse_args()
    arguments.run(arguments)


def _add_project(commands: Commands) -> None:
    """What looks after the project's settings, data and runs."""
    pages = commands.add_parser("ui", help="open the MLflow pages of this project's runs")
    pages.add_argument("--port", type=int, default=5000, help="port on 127.0.0.1 (default: %(default)s)")
    pages.set_defaults(run=_ui)
    checked = commands.add_parser("check", help="check every setting in params.yaml before a long run starts")
    checked.set_defaults(run=_check)
    commands.add_parser("doctor", help="say what is missing here, and what to type").set_defaults(run=_doctor)
    pair = commands.add_parser("compare", help="compare trainings: what differs, which figures moved, curves, samples")
    pair.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="an id or its beginning, a name (the latest), best, or a folder such as . or ../main; the first is the "
        "baseline",
    )
    pair.add_argument("--html", type=Path, default=Path("compare.html"), help="the page (default: %(default)s)")
    pair.add_argument("--markdown", default="-", help="a file for the table; - prints it (default: %(default)s)")
    pair.set_defaults(run=_compare)
    tried = commands.add_parser("experiments", help="DVC's experiments side by side: what differs, and the accuracies")
    tried.set_defaults(run=_experiments)
    late = commands.add_parser(
        "sync", help="bring MLflow what it could not take, and what DVC brought back from its cache"
    )
    late.set_defaults(run=_sync)
    sets = commands.add_parser("sets", help="list the data sets that download.name may name, with their terms")
    sets.set_defaults(run=_sets)


def _add_measuring(commands: Commands) -> None:
    """What measures, and what is measured by."""
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
    theano.set_defaults(run=_import_theano)
    distances = commands.add_parser("distances", help="how far generated images lie from real ones: FID, KID and more")
    distances.add_argument("real", help="a folder of images, such as data/processed or data/evaluation/cifar10:test")
    distances.add_argument("generated", help="another one, or a model: models/gan, or models/gan:average")
    distances.add_argument("--samples", type=int, help="so many images of each; all that there are otherwise")
    distances.add_argument("--seed", type=int, default=0, help="of every draw (default: %(default)s)")
    distances.add_argument("--out", type=Path, help="a JSON file for the figures")
    distances.add_argument(
        "--network", type=Path, help="the model whose features to compare by, instead of Inception: see classifier"
    )
    distances.set_defaults(run=_distances)
    classifier = commands.add_parser(
        "classifier", help="train a small classifier whose features distances can be measured on, without Inception"
    )
    classifier.add_argument("images", type=Path, help="a labelled set, such as data/evaluation/cifar10")
    classifier.add_argument("--out", type=Path, default=Path("models/classifier"), help="default: %(default)s")
    classifier.add_argument("--width", type=int, default=32, help="filters of the first layer (default: %(default)s)")
    classifier.add_argument("--steps", type=int, default=3000, help="of 128 images each (default: %(default)s)")
    classifier.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    classifier.set_defaults(run=_classifier)


def _add_models(commands: Commands) -> None:
    """What takes trained models."""
    samples = commands.add_parser("sample", help="draw samples of a trained generator")
    samples.add_argument(
        "model",
        nargs="?",
        default="models/gan",
        help="its folder, :average behind it for the averaged weights (default: %(default)s)",
    )
    samples.add_argument("--count", type=int, default=64, help="default: %(default)s")
    samples.add_argument("--seed", type=int, default=0, help="of z (default: %(default)s)")
    samples.add_argument(
        "--truncation", type=float, help="the most that a number of z may differ from 0; free otherwise"
    )
    samples.add_argument(
        "--out",
        type=Path,
        default=Path("samples.png"),
        help="one picture (.png), the pixels (.npy), or a new folder for a picture each (default: %(default)s)",
    )
    samples.set_defaults(run=_sample)
    exported = commands.add_parser("export", help="write a trained network as ONNX, compared with torch")
    exported.add_argument(
        "model",
        nargs="?",
        default="models/gan",
        help="its folder, :average behind it for the averaged weights (default: %(default)s)",
    )
    exported.add_argument(
        "--network", choices=("generator", "discriminator"), default="generator", help="default: %(default)s"
    )
    exported.add_argument(
        "--statistics",
        choices=("image", "frozen"),
        default="image",
        help="of a generator from images: what its batch normalisation uses (default: %(default)s)",
    )
    exported.add_argument("--out", type=Path, help="default: NETWORK.onnx")
    exported.set_defaults(run=_export)
    given_away = commands.add_parser("release", help="a discriminator to give away: its kernels in bf16, and no more")
    given_away.add_argument("model", help="its folder, :average behind it for the averaged weights")
    given_away.add_argument("out", type=Path, help="a folder, whose own model, if it is such a one, is replaced")
    given_away.set_defaults(run=_release)
    page = commands.add_parser("serve", help="a page on which to draw, explore and inspect what models learned")
    page.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help="its folder, :average behind it for the averaged weights; all of the project otherwise: models/gan, "
        "studies/*/models/gan, released/*",
    )
    page.add_argument("--port", type=int, default=7860, help="default: %(default)s")
    page.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine)")
    page.set_defaults(run=_serve)


def _add_dedupe(commands: Commands) -> None:
    alone = commands.add_parser("dedupe", help="find near-duplicates in a folder of images; nothing is deleted")
    alone.add_argument("folder", type=Path, help="of images, at any depth")
    alone.add_argument("--method", default="whitened", help="or phash, dhash, whash (default: %(default)s)")
    alone.add_argument("--radius", type=int, help="bits by which duplicates may differ; measured otherwise")
    alone.add_argument("--no-verify", action="store_true", help="trust the codes; pixels are compared, too, otherwise")
    alone.add_argument(
        "--keep",
        default="largest",
        help="which of a group stays: the largest in pixels, then bytes; the sharpest; the first by name, or by the "
        "index; or prefer:<folder> for one from there (default: %(default)s)",
    )
    alone.add_argument("--vetoes", type=Path, help="a file of pairs that are no duplicates, as the page saves it")
    alone.add_argument("--report", type=Path, help="an HTML page on which to look at the groups")
    alone.add_argument("--delete-list", type=Path, help="a file for the paths that may go, a line each")
    alone.add_argument("--index", type=Path, help="a folder that remembers what was hashed, for the next time")
    alone.add_argument("--bits", type=int, help="of the code of whitened (default: 128)")
    alone.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    alone.set_defaults(run=_dedupe)


def _check(_: argparse.Namespace) -> None:
    from ganpipe import checks

    checks.check()


def _doctor(_: argparse.Namespace) -> None:
    from ganpipe.doctor import doctor

    doctor()


def _compare(arguments: argparse.Namespace) -> None:
    from ganpipe.compare.compare import compare

    compare(arguments.runs, arguments.html, arguments.markdown)


def _release(arguments: argparse.Namespace) -> None:
    from ganpipe.models.store import split_average
    from ganpipe.release import release

    released = release(*split_average(arguments.model), arguments.out)
    print(
        f"{arguments.out}: {released.bytes:,} bytes; rounding moved its features by {released.moved:.2%} of their "
        "layer's largest at the most"
    )


def _serve(arguments: argparse.Namespace) -> None:
    from ganpipe.demo.server import serve

    serve(arguments.models, arguments.host, arguments.port)


def _sets(_: argparse.Namespace) -> None:
    from ganpipe.corpus import search
    from ganpipe.corpus.catalogue import CATALOGUE, FORMS, LABELLED, NAMES

    width = max(map(len, NAMES))
    for name, known in CATALOGUE.items():
        print(f"{name:<{width}} {known.title}{' (labelled, to evaluate on)' if name in LABELLED else ''}")
        print(f"{'':<{width}} {known.licence}; {known.homepage}")
    print("\nImages of your own, in download.path:")
    scraped = f"a list of addresses, or a search, such as {search.FORMS}"
    for name, form in {"folder": "a folder of images, at any depth", **FORMS, "scrape": scraped}.items():
        print(f"{name:<{width}} {form}")


def _experiments(_: argparse.Namespace) -> None:
    from ganpipe.experiments import experiments

    print(experiments())


def _sync(_: argparse.Namespace) -> None:
    from ganpipe.tracking.store import store_uri, without_passwords
    from ganpipe.tracking.sync import sync

    late, made = sync()
    if late:
        print(f"{late} runs have got the rest of what their stages told")
    if made:
        print(f"made from files: {', '.join(made)}")
    print(f"{without_passwords(store_uri())} has all that is here")


def _import_theano(arguments: argparse.Namespace) -> None:
    from ganpipe.import_theano import import_discriminator
    from ganpipe.runtime import choose_device

    network = import_discriminator(
        arguments.folder, arguments.out, arguments.images, choose_device(), arguments.network, arguments.layers
    )
    print(f"{arguments.out}: {len(network.convs)} convolutions, {network.feature_count:,} features")
    print(f"dvc exp run -S evaluate.weights={arguments.out} measures it, dvc repro --force evaluate measures it again")


def _distances(arguments: argparse.Namespace) -> None:
    from ganpipe import files
    from ganpipe.evaluation.image_sets import compare
    from ganpipe.runtime import choose_device

    if arguments.seed < 0:
        raise UserError(f"--seed is {arguments.seed}: it is a number from 0")
    if arguments.out is not None:
        files.refuse_unwritable("--out", arguments.out)
    found = compare(
        arguments.real, arguments.generated, arguments.samples, arguments.seed, choose_device(), arguments.network
    )
    for name, value in found.items():
        print(f"{name:<{max(map(len, found))}}  {value:.5g}")
    if arguments.out is not None:
        files.write_json(arguments.out, found)


def _classifier(arguments: argparse.Namespace) -> None:
    from ganpipe.corpus.shards import Images
    from ganpipe.evaluation import classifier
    from ganpipe.models.store import refuse_generator
    from ganpipe.runtime import choose_device

    for name, fewest in (("width", 1), ("steps", 1), ("seed", 0)):
        if getattr(arguments, name) < fewest:
            raise UserError(f"--{name} is {getattr(arguments, name)}: it is a number from {fewest}")
    refuse_generator(arguments.out)
    images = Images(arguments.images)
    trained = classifier.train(images, arguments.width, arguments.steps, arguments.seed, choose_device())
    classifier.save(arguments.out, trained, images, arguments.steps, arguments.seed)
    if trained.accuracy is not None:
        print(f"{trained.accuracy:.2%} of the test images are told right")
    print(f"{arguments.out}: name it by --network of ganpipe distances")


def _sample(arguments: argparse.Namespace) -> None:
    from ganpipe import files
    from ganpipe.analysis import samples
    from ganpipe.runtime import choose_device

    if arguments.out.suffix in (".png", ".npy"):
        files.refuse_unwritable("--out", arguments.out)
    images = samples.sample(arguments.model, arguments.count, arguments.seed, arguments.truncation, choose_device())
    samples.write(images, arguments.out)
    print(f"{arguments.out}: {len(images)} samples of {arguments.model}")


def _export(arguments: argparse.Namespace) -> None:
    from ganpipe import files
    from ganpipe.export import export
    from ganpipe.models.store import split_average

    folder, average = split_average(arguments.model)
    to = arguments.out or Path(f"{arguments.network}.onnx")
    files.refuse_unwritable("--out", to)
    apart = export(folder, arguments.network, average, to, arguments.statistics)
    print(f"{to}: differs from torch by {apart:.1e} at the most")


def _dedupe(arguments: argparse.Namespace) -> None:
    import re

    from ganpipe import files
    from ganpipe.dedupe import alone, vetoes
    from ganpipe.dedupe.index import METHODS

    if arguments.method not in METHODS:
        raise UserError(f"there is no method {arguments.method}, choose from {', '.join(METHODS)}")
    for name in ("report", "delete_list"):
        if (path := getattr(arguments, name)) is not None:
            files.refuse_unwritable(f"--{name.replace('_', '-')}", path)
    if arguments.radius is not None and not 0 <= arguments.radius <= 64:
        raise UserError(f"--radius is {arguments.radius}: it is a number from 0 to 64")
    if not re.fullmatch("first|largest|sharpest|prefer:.+", arguments.keep):
        raise UserError(f"--keep is {arguments.keep}: choose first, largest, sharpest or prefer:<folder>")
    if arguments.bits is not None and arguments.method != "whitened":
        raise UserError(f"--bits is {arguments.bits}, but codes of {arguments.method} have 64: leave it out")
    bits = 128 if arguments.bits is None else arguments.bits
    if bits % 8 or not 8 <= bits <= 432:
        raise UserError(f"--bits is {bits}: it is a multiple of 8 up to 432")
    if arguments.report is not None and arguments.report == arguments.delete_list:
        raise UserError(f"--report and --delete-list are both {arguments.report}: name two files")
    if arguments.seed < 0:
        raise UserError(f"--seed is {arguments.seed}: it is a number from 0")
    told = vetoes.read(arguments.vetoes) if arguments.vetoes is not None else frozenset()
    wanted = alone.Wanted(
        arguments.method, bits, arguments.radius, not arguments.no_verify, arguments.keep, arguments.seed, told
    )
    found = alone.find(arguments.folder, wanted, arguments.index)
    for sentence in alone.sentences(found):
        print(sentence)
    if arguments.report is not None:
        alone.write_page(arguments.report, found, arguments.folder, arguments.method)
        print(f"{arguments.report}: the groups, to look at")
    if arguments.delete_list is not None:
        left_out = alone.write_list(arguments.delete_list, found)
        going = int((~found.clusters.kept).sum())
        print(
            f"{arguments.delete_list}: the files that may go "
            f"(xargs -d '\\n' rm -- < {shlex.quote(str(arguments.delete_list))})"
            if going
            else f"{arguments.delete_list}: empty, for no file may go"
        )
        if left_out:
            print(f"{left_out} of them are not in it, because their names hold a line's end")


def _ui(arguments: argparse.Namespace) -> None:
    from importlib.metadata import entry_points

    from ganpipe.tracking import pages, view
    from ganpipe.tracking.store import find_experiment, is_server, store_uri, without_passwords

    uri, port = store_uri(), arguments.port
    if is_server(uri):
        print(f"MLFLOW_TRACKING_URI is set: the pages are at {without_passwords(uri)}")
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
        print(f"which training is better: {here}{view.address(experiment)}", flush=True)
    server = ["mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port)]
    known = entry_points(group="mlflow.app", name=pages.APP)  # none where ganpipe was installed before it had one
    chosen = ["--app-name", pages.APP] if known else []
    os.execv(sys.executable, [sys.executable, "-m", *server, *chosen, "--workers", "1"])
