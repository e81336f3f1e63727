"""Staged uploads: where a client leaves a file, for example the variables of a bulk mutation.

As at Shopify, the file goes to another server by a form with the fields that `stagedUploadsCreate`
gave; `key`, the path in that server, then names the file.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from flask import Response, request

from .errors import BadRequestError

if TYPE_CHECKING:
    from .store import Store

UPLOAD_PATH = "/staged-uploads/"
MOST_BYTES = 100 * 1024 * 1024
_VARIABLES = "BULK_MUTATION_VARIABLES"
Document = dict[str, Any]


@dataclass
class Uploads:
    """The staged files of one store, by their paths; None until a file has come."""

    shop_number: int
    files: dict[str, bytes | None] = field(default_factory=dict)
    signatures: dict[str, str] = field(default_factory=dict)

    def stage(self, filename: str) -> dict[str, str]:
        """Give a file a place; what its form must hold."""
        key = f"tmp/{self.shop_number}/bulk/{uuid4()}/{filename}"
        self.files[key] = None
        self.signatures[key] = secrets.token_hex(16)
        return {
            "Content-Type": "text/jsonl",
            "success_action_status": "201",
            "acl": "private",
            "key": key,
            "x-goog-signature": self.signatures[key],
        }


def create_targets(store: Store, input: list[dict[str, Any]]) -> Document:  # noqa: A002
    """`stagedUploadsCreate`, for the variables of bulk mutations."""
    targets = []
    for given in input:
        if given["resource"] != _VARIABLES or given["httpMethod"] != "POST":
            raise BadRequestError("The sandbox takes variables of bulk mutations, by POST.")
        if given["mimeType"] != "text/jsonl":
            raise BadRequestError("Variables of bulk mutations are text/jsonl.")
        parameters = store.uploads.stage(given["filename"])
        url = f"{request.url_root.rstrip('/')}{UPLOAD_PATH}"
        targets.append(
            {
                "url": url,
                "resourceUrl": url,
                "parameters": [{"name": n, "value": v} for n, v in parameters.items()],
            }
        )
    return {"stagedTargets": targets, "userErrors": []}


def receive(stores: list[Store]) -> Response:
    """Take a file, if its form has the fields that were given out for it.

    It is not Shopify that takes these files: who shows it the access token gives it away.
    """
    if "X-Shopify-Access-Token" in request.headers:
        return _refused("TokenLeaked", 400)
    key = request.form.get("key", "")
    store = next((each for each in stores if key in each.uploads.files), None)
    if store is None or request.form.get("x-goog-signature") != store.uploads.signatures[key]:
        return _refused("AccessDenied", 403)
    if request.form.get("Content-Type") != "text/jsonl" or "file" not in request.files:
        return _refused("InvalidPolicyDocument", 400)
    content = request.files["file"].read()
    if len(content) > MOST_BYTES:
        return _refused("EntityTooLarge", 400)
    store.uploads.files[key] = content
    body = f"<PostResponse><Key>{key}</Key></PostResponse>"
    return Response(body, 201, content_type="application/xml")


def _refused(code: str, status: int) -> Response:
    return Response(f"<Error><Code>{code}</Code></Error>", status, content_type="application/xml")
