"""The `ganpipe` command."""

import argparse
import os
import socket
import sys

from ganpipe.errors import UserError, entry


@entry
def main() -> None:
    """Parse the command line and run the subcommand."""
    parser = argparse.ArgumentParser(prog="ganpipe", description="Tools around the pipeline; `dvc repro` runs it.")
    commands = parser.add_subparsers(dest="command", required=True)
    pages = commands.add_parser("ui", help="open the MLflow pages of this project's runs")
    pages.add_argument("--port", type=int, default=5000, help="port on 127.0.0.1 (default: %(default)s)")
    commands.add_parser("check", help="check every setting in params.yaml before a long run starts")
    arguments = parser.parse_args()
    if arguments.command == "ui":
        _ui(arguments.port)
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
    if faults:
        raise UserError("\nerror: ".join(faults))


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
