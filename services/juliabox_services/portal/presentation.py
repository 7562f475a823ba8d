"""Rendering of the portal's pages: templates, addresses of static files, data as JSON.

The service and the preview of the tests render through this module alone, so that a page that the
tests saw is the page that people get. Pages have no script and no style within them; the strict
``default-src 'self'`` holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from markupsafe import Markup

from juliabox_services.portal.models import PAGES, Page, PageInfo, Section

HERE = Path(__file__).parent
#: Served below ``portal_url`` as ``static/``; an address carries a digest of the file as ``v``.
STATIC = HERE / "static"
TEMPLATES = HERE / "templates"


@cache
def digest(path: str) -> str:
    """Return a short digest of a static file; raise ``FileNotFoundError`` if there is none."""
    return sha256((STATIC / path).read_bytes()).hexdigest()[:12]


def as_json(value: Any) -> Markup:
    """Return a value as JSON that can stand in a ``script`` element, whatever texts it has."""
    text = msgspec.json.encode(value).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  # no character that HTML gives a meaning is left


def environment() -> jinja2.Environment:
    """Return the portal's templates; an unknown variable in one is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["as_json"] = as_json
    made.globals["PAGES"] = PAGES
    return made


def _static_url(portal_url: str) -> Any:
    return lambda path: f"{portal_url}static/{path}?v={digest(path)}"


def render(
    templates: jinja2.Environment,
    page: Page,
    data: msgspec.Struct,
    *,
    sections: Sequence[Section] = (),
    template: str = "",
) -> str:
    """Return the HTML of a page with its data; ``sections`` are pieces that plugins rendered.

    ``template`` is another than the page's own.
    """
    info: PageInfo = PAGES[page.name]
    return templates.get_template(template or info.template).render(
        page=page,
        info=info,
        data=data,
        sections=sections,
        static_url=_static_url(page.portal_url),
    )


def render_error(  # of nobody in particular: who calls may be what went wrong
    templates: jinja2.Environment,
    *,
    portal_url: str,
    hub_url: str,
    status: int,
    code: str,
    message: str,
) -> str:
    """Return the page of an error: what went wrong, and the ways back."""
    return templates.get_template("error.html").render(
        status=status,
        code=code,
        message=message,
        hub_url=hub_url,
        portal_url=portal_url,
        static_url=_static_url(portal_url),
    )
