"""`ganpipe serve`: the page on this machine, or for others where that is asked for."""

import ipaddress
import logging
import socket
from collections.abc import Sequence
from pathlib import Path

from ganpipe.demo import models
from ganpipe.demo.exported import runtime
from ganpipe.demo.served import Shelf
from ganpipe.errors import UserError
from ganpipe.files import project_root

LOCAL = ("127.0.0.1", "localhost", "::1")
CONNECTIONS = 32  # at once; more are told so
HEAD = 16 << 10  # bytes of a request's head


def serve(given: Sequence[str], host: str, port: int) -> None:
    """Serve these models, or all that the project has, until Ctrl-C; UserError where that cannot be."""
    if not 0 < port < 65536:
        raise UserError(f"--port is {port}: choose one from 1 to 65535")
    runtime()
    try:
        import uvicorn

        from ganpipe.demo.app import make
        from ganpipe.demo.protocol import Impatient
    except ImportError as error:
        package = (error.name or str(error)).partition(".")[0]
        raise UserError(f"{package} is not installed: pip install 'ganpipe[demo]'") from None
    shown, reasons = (models.named(given), []) if given else models.found(_root())
    listening = _listen(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    for reason in reasons:
        print(f"not shown: {reason}")
    for model in shown:
        print(f"{model.name}: {model.folder}, a {model.kind} of {model.size}x{model.size} pixels")
    if not shown:
        print("there is no trained model yet: the page says how to make one")
    print(f"the page: {address} (Ctrl-C ends it)", flush=True)
    local = _is_local(host)
    if not local:
        print("whoever reaches this machine can use it: there is no password, and nothing is encrypted", flush=True)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    shelf = Shelf(shown)
    shelf.start()
    config = uvicorn.Config(
        make(shelf, LOCAL if local else None),
        http=Impatient,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=HEAD,
    )
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        return


def _root() -> Path:
    """The project's, as a path from here where that is shorter."""
    root = project_root()
    return Path() if root == Path.cwd() else root


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
    except socket.gaierror as error:
        raise UserError(f"--host is {host}, which is no address of this machine ({error.strerror})") from None
    except OSError as error:
        raise UserError(
            f"port {port} of {host} cannot be used ({error.strerror}): choose another: make demo PORT=7861"
        ) from None
    return listening
