"""A client of Klaviyo's REST API (JSON:API), which keeps to the rate limits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import httpx

from service.core.config import Settings
from service.core.http import (
    ATTEMPTS,
    MAX_RETRY_AFTER_SECONDS,
    TransientError,
    decode_json,
    open_client,
    retry_transient,
    send,
)
from service.destinations.interface import (
    CredentialRefusedError,
    DestinationError,
    DestinationUnavailableError,
)
from service.klaviyo.rate_limits import LocalWindows, ReportedLimits, WaitTooLongError, Windows

MEDIA_TYPE = "application/vnd.api+json"
_SCOPE = re.compile(r"\b[a-z-]+:(?:read|write)\b")

Document = dict[str, Any]
Resource = dict[str, Any]
Parameters = Mapping[str, str | int]

_NONE: Parameters = MappingProxyType({})


@dataclass(frozen=True)
class Problem:
    """One error object of a response; ``pointer`` says which part of the body it is about.

    ``duplicate_profile_id`` is the profile that has the address already, if Klaviyo names it.
    """

    code: str
    detail: str
    pointer: str | None
    duplicate_profile_id: str | None = None


class KlaviyoError(DestinationError):
    """Klaviyo did not do what was asked.

    ``status`` is the HTTP status, 0 without a response; ``problems`` are all error objects;
    ``code``, ``detail`` and ``pointer`` are those of the first.
    """

    def __init__(
        self,
        message: str,
        *,
        advice: str | None = None,
        status: int = 0,
        problems: tuple[Problem, ...] = (),
    ) -> None:
        super().__init__(message, advice=advice)
        first = problems[0] if problems else Problem("", "", None)
        self.status = status
        self.code = first.code
        self.detail = first.detail
        self.pointer = first.pointer
        self.problems = problems


class KlaviyoUnavailableError(KlaviyoError, DestinationUnavailableError):
    """Klaviyo could not be reached, or kept failing."""

    advice = "What was done is recorded; the next sync continues from there."


class KlaviyoRefusedError(KlaviyoError, CredentialRefusedError):
    """Klaviyo does not accept the API key."""

    advice = (
        "Make a private key with the scopes accounts:read, lists:read, lists:write, profiles:read"
        " and profiles:write, then connect again: on the page Connections, or by quintile tenants"
        " connect-klaviyo NAME"
    )


class KlaviyoScopeError(KlaviyoRefusedError):
    """The API key lacks a scope."""

    @property
    def missing_scopes(self) -> tuple[str, ...]:
        """The scopes that Klaviyo names, in its order; empty if it names none."""
        return tuple(_SCOPE.findall(" ".join(problem.detail for problem in self.problems)))


class KlaviyoClient:
    """The API of one account, for one thread.

    Every call names its operation (its path with placeholders), because each has limits of its own.
    ``calls`` counts the requests, retries included.
    """

    def __init__(
        self, http: httpx.Client, base_url: str, *, windows: Windows, attempts: int = ATTEMPTS
    ) -> None:
        self._http = http
        self._base_url = base_url
        self._windows = windows
        self._attempts = attempts
        self.calls = 0

    def get(self, operation: str, path: str, parameters: Parameters = _NONE) -> Document:
        """Read one document.

        Raises:
            KlaviyoRefusedError: The key is not accepted (401).
            KlaviyoScopeError: It lacks a scope (403).
            KlaviyoUnavailableError: No usable response after several tries.
            KlaviyoError: Any other response than success.
        """
        return self._call("GET", operation, f"{self._base_url}{path}", params=parameters)

    def post(self, operation: str, path: str, body: Document | bytes) -> Document:
        """Create something; repeating it must be harmless. Raises as :meth:`get`.

        A body of bytes is JSON already.
        """
        url = f"{self._base_url}{path}"
        if isinstance(body, bytes):
            return self._call("POST", operation, url, content=body)
        return self._call("POST", operation, url, json=body)

    def delete(self, operation: str, path: str, body: Document) -> None:
        """Delete something. Raises as :meth:`get`."""
        self._call("DELETE", operation, f"{self._base_url}{path}", json=body)

    def pages(
        self, operation: str, path: str, parameters: Parameters = _NONE
    ) -> Iterator[list[Resource]]:
        """The resources of every page of a collection. Raises as :meth:`get`."""
        document = self.get(operation, path, parameters)
        yield document["data"]
        while following := (document.get("links") or {}).get("next"):
            # The key is sent only to Klaviyo, whatever a response says.
            if not following.startswith(f"{self._base_url}/"):
                raise KlaviyoError("Klaviyo's next page is not on its own server.")
            document = self._call("GET", operation, following)
            yield document["data"]

    def _call(self, method: str, operation: str, url: str, **content: Any) -> Document:
        try:
            return retry_transient(
                lambda: self._attempt(method, f"{method} {operation}", url, content),
                attempts=self._attempts,
            )
        except TransientError as error:
            wait = error.retry_after or 0.0
            if wait > MAX_RETRY_AFTER_SECONDS:
                raise KlaviyoUnavailableError(
                    f"Klaviyo asks for a pause of {wait / 60:.0f} minutes."
                ) from None
            raise KlaviyoUnavailableError(f"Klaviyo keeps failing: {error}.") from None
        except WaitTooLongError as error:
            raise KlaviyoUnavailableError(
                f"Klaviyo's limit for this is used up; {error}.", advice="Try again then."
            ) from None

    def _attempt(
        self, method: str, operation: str, url: str, content: Mapping[str, Any]
    ) -> Document:
        reservation = self._windows.reserve(operation)
        self.calls += 1
        headers = {"Content-Type": MEDIA_TYPE} if content.keys() & {"json", "content"} else {}
        try:
            response = send(self._http, method, url, headers=headers, **content)
        except TransientError as error:
            if error.retry_after is not None:
                self._windows.throttle(operation, error.retry_after)
            raise
        if reported := ReportedLimits.read(response.headers):
            self._windows.record(operation, reservation, reported)
        if response.is_success and not response.content:
            # 204, and 202 without a body.
            return {}
        document = decode_json(response)
        if not isinstance(document, dict):
            raise TransientError("it answered with something that is not JSON:API")
        if response.is_success:
            return document
        raise _error(response.status_code, document)


@contextmanager
def open_klaviyo(
    settings: Settings,
    api_key: str,
    *,
    windows: Windows | None = None,
    attempts: int = ATTEMPTS,
) -> Iterator[KlaviyoClient]:
    """A client for the account of a private API key; closed at the end of the block.

    The client of a tenant comes from :func:`service.klaviyo.connection.open_connected_klaviyo`.
    Without ``windows`` only the calls of this client are counted. ``attempts`` is how often a
    failing call is made at most.
    """
    headers = {
        "Authorization": f"Klaviyo-API-Key {api_key}",
        "revision": settings.klaviyo_revision,
        "Accept": MEDIA_TYPE,
    }
    with open_client(headers, provider="klaviyo") as http:
        yield KlaviyoClient(
            http,
            settings.klaviyo_url.rstrip("/"),
            windows=windows or LocalWindows(),
            attempts=attempts,
        )


def _error(status: int, document: Document) -> KlaviyoError:
    problems = tuple(
        Problem(
            code=str(error.get("code", "")),
            detail=str(error.get("detail", ""))[:300],
            pointer=(error.get("source") or {}).get("pointer"),
            duplicate_profile_id=(error.get("meta") or {}).get("duplicate_profile_id"),
        )
        for error in document.get("errors") or []
    )
    reason = problems[0].detail if problems else "no reason given"
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        kind = KlaviyoRefusedError if status == httpx.codes.UNAUTHORIZED else KlaviyoScopeError
        message = f"Klaviyo does not accept the API key (status {status}): {reason}"
        return kind(message, status=status, problems=problems)
    message = f"Klaviyo answered with status {status}: {reason}"
    return KlaviyoError(message, status=status, problems=problems)
