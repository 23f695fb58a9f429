"""The local server of ``cellscope review``: who may ask, and what is answered."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from cellscope.errors import UsageError, error_line, show_traceback
from cellscope.review.room import Room, Stale

HOST = "127.0.0.1"
NAMES = {"127.0.0.1", "localhost", "[::1]"}
"""What the browser may call this machine; the port may be that of a tunnel."""
LARGEST = 4 * 2**20
"""Bytes of a request."""
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Let in only who knows the token, asks by a name of this machine, and comes from this very page."""

    def __init__(self, app: ASGIApp, token: str):
        self.app = app
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 or pass on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        why = self._refuse(request)
        if why:
            await PlainTextResponse(why, 403, HEADERS)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refuse(self, request: Request) -> str:
        host = request.headers.get("host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name not in NAMES:
            return "this server answers to 127.0.0.1 and localhost only"
        given = request.url.path.split("/")[1]
        if not secrets.compare_digest(given.encode(), self.token.encode()):
            return "the address lacks the token; use the one that `cellscope review` printed"
        if request.method not in ("GET", "HEAD"):
            origin = urlsplit(request.headers.get("origin", ""))
            if origin.scheme not in ("http", "https") or origin.netloc != host:
                return "the request comes from another page"
        return ""


def make_app(room: Room, token: str) -> Starlette:
    """Make the server's application.

    Parameters
    ----------
    room : Room
    token : str
        The first part of every address.
    """

    async def page(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        there = files("cellscope.review") / "page"
        known = {path.name for path in there.iterdir() if path.is_file()}
        suffix = f".{name.rpartition('.')[2]}"
        if name not in known or suffix not in TYPES:
            return PlainTextResponse("there is no such page", 404, HEADERS)
        text = (there / name).read_text(encoding="utf-8")
        return Response(text, media_type=TYPES[suffix], headers=HEADERS)

    def get(work: Callable[[Request], Any]) -> Callable[[Request], Awaitable[Response]]:
        return _answered(work)

    def picture(request: Request) -> Response:
        return Response(room.picture(request.path_params["number"]), media_type="image/png", headers=HEADERS)

    def one(request: Request) -> Response:
        shown = room.object_picture(request.path_params["number"], request.path_params["label"])
        return Response(shown, media_type="image/png", headers=HEADERS)

    def sheet(request: Request) -> Response:
        name, found = room.sheet(request.path_params["number"])
        kept = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
        return Response(found, media_type="application/pdf", headers=HEADERS | kept)

    def file(request: Request) -> Response:
        return FileResponse(room.file(request.path_params["number"], f".{request.path_params['suffix']}"),
                            headers=HEADERS)  # fmt: skip

    async def change(request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return JSONResponse({"error": "the request is not understood"}, 400, HEADERS)
        number = request.path_params["number"]
        return await _answered(lambda _: room.change(number, int(body.get("revision", -1)), body))(request)

    routes = [
        Route("/", page),
        Route("/page/{name}", page),
        Route("/api/run", get(lambda _: room.overview())),
        Route("/api/tables", get(lambda _: room.writer.summary())),
        Route("/api/image/{number:int}", get(lambda request: room.image(request.path_params["number"]))),
        Route("/api/image/{number:int}", change, methods=["POST"]),
        Route("/api/image/{number:int}/picture", get(picture)),
        Route("/api/image/{number:int}/object/{label:int}", get(one)),
        Route("/api/image/{number:int}/sheet.pdf", get(sheet)),
        Route("/api/image/{number:int}/file/{suffix}", get(file)),
    ]
    for route in routes:
        route.path = f"/{token}{route.path}"
    return Starlette(
        routes=[Route(route.path, route.endpoint, methods=list(route.methods or ())) for route in routes],
        middleware=[Middleware(Guard, token=token)],
    )


def _answered(work: Callable[[Request], Any]) -> Callable[[Request], Awaitable[Response]]:
    """Do what may take long in a thread; errors become an answer that the page shows."""

    async def answer(request: Request) -> Response:
        try:
            found = await run_in_threadpool(work, request)
        except Stale:
            told = "the image was changed in another tab; it is shown anew"
            return JSONResponse({"error": told, "stale": True}, 409, HEADERS)
        except Exception as error:  # of one image; the room stays open
            show_traceback(error)
            return JSONResponse({"error": error_line(error)}, 422, HEADERS)
        return found if isinstance(found, Response) else JSONResponse(found, 200, HEADERS)

    return answer


async def _body(request: Request) -> dict[str, Any] | None:
    if request.headers.get("content-type", "").split(";")[0] != "application/json":
        return None
    received = b""
    async for part in request.stream():
        received += part
        if len(received) > LARGEST:
            return None
    try:
        found = json.loads(received)
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("revision"), int) else None


def bind(port: int) -> socket.socket:
    """Take a port of this machine; 0 for a free one.

    Raises
    ------
    UsageError
        It is taken, or may not be used.
    """
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"port {port} cannot be used ({reason}); give another --port, or none") from None
    return listening


def serve(room: Room, token: str, listening: socket.socket, started: Callable[[], None]) -> None:
    """Answer until the process is told to stop.

    Parameters
    ----------
    room, token
        As for `make_app`.
    listening : socket
        From `bind`.
    started : callable
        Called when the server answers.
    """

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started()

    config = uvicorn.Config(
        make_app(room, token), log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=2
    )
    Server(config).run(sockets=[listening])
