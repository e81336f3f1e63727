"""Klaviyo's REST API: JSON:API over HTTPS, paced by the limits that every answer tells."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import httpx

from service.config import Settings
from service.errors import QuintileError
from service.http import TransientError, decode_json, open_client, patiently, send

MEDIA_TYPE = "application/vnd.api+json"
# A steady limit is counted by the minute, so waiting out one of them takes up to that long.
_LONGEST_PAUSE_SECONDS = 60.0

Document = dict[str, Any]
Resource = dict[str, Any]
Parameters = Mapping[str, str | int]

_NONE: Parameters = MappingProxyType({})


@dataclass(frozen=True)
class Problem:
    """One error object of an answer; ``pointer`` says which part of the body it is about."""

    code: str
    detail: str
    pointer: str | None


class KlaviyoError(QuintileError):
    """Klaviyo did not do what was asked.

    ``status`` is the HTTP status, 0 when no answer came; ``problems`` are all error objects, of
    which ``code``, ``detail`` and ``pointer`` are the first's.
    """

    def __init__(
        self, message: str, *, status: int = 0, problems: tuple[Problem, ...] = ()
    ) -> None:
        super().__init__(message)
        first = problems[0] if problems else Problem("", "", None)
        self.status = status
        self.code = first.code
        self.detail = first.detail
        self.pointer = first.pointer
        self.problems = problems


class KlaviyoUnavailableError(KlaviyoError):
    """Klaviyo could not be reached, or kept failing."""

    advice = "What was done is recorded; the next sync goes on from there."


class KlaviyoRefusedError(KlaviyoError):
    """Klaviyo does not accept the API key."""

    advice = (
        "Make a private key with the scopes accounts:read, lists:read, lists:write, profiles:read"
        " and profiles:write, then connect again: quintile tenants connect-klaviyo NAME"
    )


class KlaviyoScopeError(KlaviyoRefusedError):
    """The API key lacks a scope."""


class KlaviyoClient:
    """The API of one account; not to be shared between threads.

    Limits are kept per operation, so every call names the operation it is (its path, with
    placeholders). ``calls`` counts the requests made, retries included.
    """

    def __init__(self, http: httpx.Client, base_url: str) -> None:
        self._http = http
        self._base_url = base_url
        self._open_again: dict[str, float] = {}
        self.calls = 0

    def get(self, operation: str, path: str, parameters: Parameters = _NONE) -> Document:
        """Read one document.

        Raises:
            KlaviyoRefusedError: The key is not accepted (401) or lacks a scope (403).
            KlaviyoUnavailableError: No usable answer after several tries.
            KlaviyoError: Any other answer than success.
        """
        return self._call("GET", operation, f"{self._base_url}{path}", params=parameters)

    def post(self, operation: str, path: str, body: Document) -> Document:
        """Create something; repeating it must be harmless. Raises as :meth:`get`."""
        return self._call("POST", operation, f"{self._base_url}{path}", json=body)

    def delete(self, operation: str, path: str, body: Document) -> None:
        """Take something away. Raises as :meth:`get`."""
        self._call("DELETE", operation, f"{self._base_url}{path}", json=body)

    def pages(
        self, operation: str, path: str, parameters: Parameters = _NONE
    ) -> Iterator[list[Resource]]:
        """The resources of every page of a collection. Raises as :meth:`get`."""
        document = self.get(operation, path, parameters)
        yield document["data"]
        while following := (document.get("links") or {}).get("next"):
            # The key goes to Klaviyo only, whatever an answer says.
            if not following.startswith(f"{self._base_url}/"):
                raise KlaviyoError("Klaviyo's next page is not on its own server.")
            document = self._call("GET", operation, following)
            yield document["data"]

    def _call(self, method: str, operation: str, url: str, **content: Any) -> Document:
        try:
            return patiently(lambda: self._attempt(method, f"{method} {operation}", url, content))
        except TransientError as error:
            raise KlaviyoUnavailableError(f"Klaviyo keeps failing: {error}.") from None

    def _attempt(
        self, method: str, operation: str, url: str, content: Mapping[str, Any]
    ) -> Document:
        wait = self._open_again.get(operation, 0.0) - time.monotonic()
        time.sleep(min(max(wait, 0.0), _LONGEST_PAUSE_SECONDS))
        self.calls += 1
        headers = {"Content-Type": MEDIA_TYPE} if "json" in content else {}
        response = send(self._http, method, url, headers=headers, **content)
        self._note_limits(operation, response.headers)
        if response.is_success and not response.content:
            # 204, and 202 where there is nothing to tell.
            return {}
        document = decode_json(response)
        if not isinstance(document, dict):
            raise TransientError("it answered with something that is not JSON:API")
        if response.is_success:
            return document
        raise _error(response.status_code, document)

    def _note_limits(self, operation: str, headers: httpx.Headers) -> None:
        """When the window is used up, note when the next one opens."""
        if headers.get("RateLimit-Remaining") == "0":
            reset = headers.get("RateLimit-Reset", "")
            seconds = float(reset) if reset.isdecimal() else 1.0
            self._open_again[operation] = time.monotonic() + seconds


@contextmanager
def open_klaviyo(settings: Settings, api_key: str) -> Iterator[KlaviyoClient]:
    """A client for the account of a private API key; closed at the end of the block."""
    headers = {
        "Authorization": f"Klaviyo-API-Key {api_key}",
        "revision": settings.klaviyo_revision,
        "Accept": MEDIA_TYPE,
    }
    with open_client(headers) as http:
        yield KlaviyoClient(http, settings.klaviyo_url.rstrip("/"))


def _error(status: int, document: Document) -> KlaviyoError:
    problems = tuple(
        Problem(
            code=str(error.get("code", "")),
            detail=str(error.get("detail", ""))[:300],
            pointer=(error.get("source") or {}).get("pointer"),
        )
        for error in document.get("errors") or []
    )
    said = problems[0].detail if problems else "no reason given"
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        message = f"Klaviyo does not accept the API key (status {status}): {said}"
        kind = KlaviyoScopeError if status == httpx.codes.FORBIDDEN else KlaviyoRefusedError
        return kind(message, status=status, problems=problems)
    message = f"Klaviyo answered with status {status}: {said}"
    return KlaviyoError(message, status=status, problems=problems)
