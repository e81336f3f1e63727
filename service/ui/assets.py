"""Static files of the admin UI: read once, compressed, and cached by browsers for a year.

Their path has a digest of all of them. So a browser never mixes files of two releases, and the
relative imports between scripts work as they are.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from flask import Response, request, url_for
from markupsafe import Markup
from werkzeug.exceptions import NotFound

ENDPOINT = "admin.static"
DIRECTORY = Path(__file__).parent / "static"
_IMPORT = re.compile(r'^(?:import|\}|export)\b[^;"]*"\./([\w-]+\.js)";', re.MULTILINE)
_SCRIPT = re.compile(r'<script type="module" src="[^"]*/([\w-]+\.js)">')
# RFC 8246: a browser does not even ask again when the page is reloaded.
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class _File:
    mimetype: str
    content: bytes
    compressed: bytes


@cache
def _files() -> dict[str, _File]:
    """The static files by name. A running process keeps those of its release."""
    found = {}
    for path in sorted(DIRECTORY.iterdir()):
        content = path.read_bytes()
        mimetype = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        found[path.name] = _File(mimetype, content, gzip.compress(content, mtime=0))
    return found


@cache
def digest() -> str:
    """Digest of all static files, 12 hexadecimal digits."""
    total = hashlib.sha256()
    for name, file in _files().items():
        total.update(f"{name} {len(file.content)}\n".encode())
        total.update(file.content)
    return total.hexdigest()[:12]


def show_static(release: str, filename: str) -> Response:
    """Return a static file.

    A page of another release, during an upgrade, asks with another digest. It gets this release's
    file, which its browser does not keep.

    Raises:
        NotFound: There is no such file.
    """
    file = _files().get(filename)
    if file is None:
        raise NotFound("There is no such file.")
    is_compressed = bool(request.accept_encodings["gzip"])
    response = Response(
        file.compressed if is_compressed else file.content, content_type=_content_type(file)
    )
    response.vary.add("Accept-Encoding")
    if is_compressed:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Cache-Control"] = _FOREVER if release == digest() else "no-cache"
    return response


def _content_type(file: _File) -> str:
    return f"{file.mimetype}; charset=utf-8" if file.mimetype.startswith("text/") else file.mimetype


def add_digest(endpoint: str, values: dict[str, Any]) -> None:
    """Complete the URLs of static files."""
    if endpoint == ENDPOINT:
        values.setdefault("release", digest())


def preload_imports(head: Markup) -> Markup:
    """Put the modules that a page's scripts import before them.

    The browser then loads all at once, instead of finding them one after the other.

    Args:
        head: The elements of a page's head that load its scripts.
    """
    names = _SCRIPT.findall(head)
    imported = {each for name in names for each in imports_of(name)} - set(names)
    links = [
        Markup('<link rel="modulepreload" href="{}">').format(url_for(ENDPOINT, filename=name))
        for name in sorted(imported)
    ]
    return Markup("\n").join([*links, head])


@cache
def imports_of(name: str) -> frozenset[str]:
    """The modules that a module imports, directly or through others."""
    found: set[str] = set()
    pending = [name]
    while pending:
        text = _files()[pending.pop()].content.decode()
        new = set(_IMPORT.findall(text)) - found
        found |= new
        pending += new
    return frozenset(found)
