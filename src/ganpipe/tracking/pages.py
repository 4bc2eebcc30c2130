"""MLflow's pages as `ganpipe ui` serves them: those for training come first, and nothing lies over them.

A browser that has never seen them is shown the menu for chats and agents; on this machine an assistant over a quarter
of the page; and a notice that its use is reported. All three are choices that the page keeps in the browser, and so
they are made there, once: whoever chooses otherwise keeps that. MLflow takes an app of one's own by the entry point
`mlflow.app`.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

APP = "ganpipe"  # its name among the entry points
CHOSEN = {  # keys of the browser's store, as MLflow 3.17 has them; pages that know none of them are as they are
    "mlflow.workflowType_v1": "machine_learning",
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
    "mlflow.settings.telemetry.enabled_v1": False,
    "mlflow.telemetry.info.alert.dismissed_v1": True,
}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def create_app() -> App:
    """MLflow's app, whose first page makes the choices."""
    from mlflow.server.fastapi_app import app

    return choosing(app)


def choosing(app: App) -> App:
    """The app, with the choices in the head of its page at /."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/":
            await app(scope, receive, send)
            return
        # Never "not modified": the browser may hold the page as another server at this address gave it.
        headers = [(name, value) for name, value in scope["headers"] if not name.startswith(b"if-")]
        start: MutableMapping[str, Any] = {}
        body = bytearray()

        async def changed(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            body.extend(message.get("body", b""))
            if not message.get("more_body", False):
                page = bytes(body).replace(b"<head>", b"<head>" + script(), 1)
                kept = [pair for pair in start["headers"] if pair[0].lower() not in (b"content-length", b"etag")]
                length = [] if scope["method"] == "HEAD" else [(b"content-length", str(len(page)).encode())]
                await send({**start, "headers": [*kept, *length]})
                await send({**message, "body": page})

        await app({**scope, "headers": headers}, receive, changed)

    return answer


def script() -> bytes:
    """An element that makes each choice that the browser has not been told yet."""
    values = json.dumps({key: json.dumps(value) for key, value in CHOSEN.items()})
    each = f"for (const [key, value] of Object.entries({values}))"
    return f"<script>{each} if (localStorage.getItem(key) === null) localStorage.setItem(key, value)</script>".encode()
