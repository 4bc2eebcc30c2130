"""The page and its API as one ASGI application, behind what keeps strangers' pages out."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ganpipe.demo.api import Api
from ganpipe.demo.decoder import Decoder
from ganpipe.demo.gate import Gate, Refused
from ganpipe.demo.served import Shelf

PAGE = Path(__file__).parent / "page"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


def make(shelf: Shelf, hosts: Sequence[str] | None) -> ASGIApp:
    """The application; `hosts` are the names by which it may be called, any where None."""
    decoder = Decoder()
    api = Api(shelf, Gate(), decoder)
    held = {path.name: path.read_bytes() for path in PAGE.iterdir() if path.suffix in TYPES}

    async def page(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in held:
            raise Refused(404, "there is no such page")
        return Response(held[name], media_type=TYPES[Path(name).suffix])

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        decoder.close()

    application = Starlette(
        routes=[
            Route("/health", api.health),
            Route("/api/models", api.models),
            Route("/api/sample", api.sample),
            Route("/api/images", api.images, methods=["POST"]),
            Route("/api/walk", api.walk, methods=["POST"]),
            Route("/api/example", api.example),
            Route("/api/translate", api.translate, methods=["POST"]),
            Route("/api/inspect", api.inspect, methods=["POST"]),
            Route("/", page),
            Route("/{name}", page),
        ],
        exception_handlers={Refused: _refused, HTTPException: _failed, Exception: _broken},
        lifespan=lifespan,
    )
    return Guard(application, hosts)


class Guard:
    """Every answer with the headers above; none to another site's page, nor under a name that is not this server's."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str] | None) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(Headers(scope=scope), scope["path"])
        if refusal is None:
            await self.app(scope, receive, headed)
        else:
            await JSONResponse({"error": refusal}, 403)(scope, receive, headed)

    def _refusal(self, headers: Headers, path: str) -> str | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if self.hosts is not None and _hostname(f"//{host}") not in self.hosts:
            return "this server is not called by that name"  # a site's name that was pointed at this machine
        if origin is not None and _netloc(origin) != host:
            return "another site's page asks for this"
        # A picture or a link on another page comes without an Origin; a browser says so in this header.
        if path.startswith("/api/") and headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return "another site's page asks for this"
        return None


def _hostname(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _netloc(address: str) -> str | None:
    try:
        return urlsplit(address).netloc or None
    except ValueError:
        return None


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 (what it is registered for)
    waits = {"retry-after": "2"} if error.status == 503 else {}
    return JSONResponse({"error": error.sentence}, error.status, waits)


async def _failed(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _broken(_: Request, __: Exception) -> Response:
    return JSONResponse({"error": "the server failed at this: its terminal shows why"}, 500)
