"""The `ganpipe` command."""

import argparse
import os
import socket

from ganpipe.errors import UserError, entry


@entry
def main() -> None:
    """Parse the command line and run the subcommand."""
    parser = argparse.ArgumentParser(prog="ganpipe", description="Tools around the pipeline; `dvc repro` runs it.")
    commands = parser.add_subparsers(dest="command", required=True)
    pages = commands.add_parser("ui", help="open the MLflow pages of this project's runs")
    pages.add_argument("--port", type=int, default=5000, help="port on 127.0.0.1 (default: %(default)s)")
    arguments = parser.parse_args()
    _ui(arguments.port)


def _ui(port: int) -> None:
    from ganpipe.tracking import store_uri

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
    print(f"MLflow: http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
    arguments = ["mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port)]
    os.execvp("mlflow", [*arguments, "--workers", "1"])
