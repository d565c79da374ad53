"""Pages, rendered by the server: each reads without a script, and brings nothing from elsewhere."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import hdrs, web
from jinja2 import Environment, PackageLoader, StrictUndefined

from hivemind_common.version import VERSION
from hivemind_gateway.pages.assets import Assets
from hivemind_gateway.tags import tagged

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


class Pages:
    """The templates, and the files that they name."""

    def __init__(self) -> None:
        self.assets = Assets()
        self._templates = Environment(
            loader=PackageLoader("hivemind_gateway.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals |= {"asset": self.assets.path, "version": VERSION}

    def render(self, template: str, **given: Any) -> str:
        """Return a page as HTML."""
        return self._templates.get_template(template).render(**given)


def shown(request: web.Request, html: str) -> web.StreamResponse:
    """Answer with a page that is the same for everybody: kept by the browser, and asked about each time."""
    response = tagged(request, web.Response(text=html, content_type="text/html"))
    response.headers[hdrs.CACHE_CONTROL] = "no-cache"
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Referrer-Policy"] = "same-origin"
    return response
