"""``Idempotency-Key``: a change that is sent twice is made once, and answered alike.

Follows draft-ietf-httpapi-idempotency-key-header-07. The hooks here cover every route that changes
something, also future ones. A key belongs to the credential that sent it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from http import HTTPStatus

import psycopg
import structlog
from flask import Response, g, request
from psycopg_pool import PoolTimeout

from service.api.access import SAFE_METHODS, access, state
from service.api.problems import InvalidPartError
from service.core.secrets import derive
from service.tenants.idempotent_requests import (
    Answer,
    Claim,
    claim_request,
    release_request,
    store_answer,
)

log = structlog.get_logger(__name__)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
# The draft's quoted string, or the same without quotation marks, as most APIs take it.
KEY_PATTERN = r'^(?:"[!#-\[\]-~]{1,255}"|[!#-\[\]-~]{1,255})$'
_KEY = re.compile(KEY_PATTERN)
_KEPT_HEADERS = ("Content-Type", "Location")


def begin_request() -> Response | None:
    """Claim the request's key; runs before each request, after its credential was checked.

    Returns:
        The answer to the first request with this key, if it was answered.

    Raises:
        InvalidPartError: The header is not a key.
        KeyInUseError: The first request is still being worked on.
        KeyReusedError: The first request was another one.
        AnswerLostError: The first request changed something, and its answer is not known.
    """
    key = request.headers.get(HEADER)
    if key is None or request.method in SAFE_METHODS or "login" not in g:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidPartError(
            "header",
            HEADER,
            "This must be 1 to 255 visible ASCII characters without quotation marks and \\, such as"
            " a UUID.",
        )
    who = access()
    found = claim_request(
        state().settings,
        state().pool,
        who.tenant_id,
        credential=str(who.credential_id or f"{who.kind} {who.actor}"),
        request_key=key.strip('"'),
        fingerprint=_fingerprint(),
    )
    if isinstance(found, Claim):
        g.idempotent_claim = found
        return None
    return Response(found.body, found.status, {**found.headers, REPLAYED: "true"})


def finish_request(response: Response) -> Response:
    """Store the answer of a request that claimed its key; a failed one can be repeated."""
    claim: Claim | None = g.pop("idempotent_claim", None)
    if claim is None:
        return response
    try:
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            release_request(state().pool, claim)
        else:
            headers = {
                name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers
            }
            answer = Answer(response.status_code, headers, response.get_data(as_text=True))
            store_answer(state().settings, state().pool, claim, answer)
    except (psycopg.OperationalError, PoolTimeout) as error:
        # The client gets its answer. A repeat is told that it is lost.
        log.warning("answer not stored", error=type(error).__name__)
    return response


def _fingerprint() -> bytes:
    """Tells the request from others. Keyed, because the body may be a credential."""
    key = derive(state().settings, "idempotency fingerprint")
    content = f"{request.method} {request.full_path}\n".encode() + request.get_data()
    return hmac.new(key, content, hashlib.sha256).digest()
