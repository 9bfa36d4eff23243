"""The search page: three files of this package, and nothing from the network."""

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def _route(path: str, name: str, media_type: str) -> Route:
    body = files(__name__).joinpath(name).read_bytes()

    async def file(_: Request) -> Response:
        return Response(body, media_type=media_type, headers={"Cache-Control": "no-cache"})

    return Route(path, file, name=name)


ROUTES = [
    _route("/", "index.html", "text/html"),
    _route("/page.css", "page.css", "text/css"),
    _route("/page.js", "page.js", "text/javascript"),
]
