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
    RefusedAnswerError,
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
# A retired revision is then refused with status 410. Without it, Klaviyo answers by a later
# revision, whose answers may mean something else.
OPT_OUT_HEADER = "X-Klaviyo-Revision-Fall-Forward-Opt-Out"
# A collection may have some empty pages, because Klaviyo filters what it has read of a page.
_MOST_EMPTY_PAGES = 100
_SCOPE = re.compile(r"\b[a-z-]+:(?:read|write)\b")
# Statuses of refusals that one profile, address or event may cause: all of them say that what was
# sent is at fault.
CONTENT_REFUSALS = frozenset(
    {
        httpx.codes.BAD_REQUEST,
        httpx.codes.CONFLICT,
        httpx.codes.REQUEST_ENTITY_TOO_LARGE,
        httpx.codes.UNPROCESSABLE_ENTITY,
    }
)

Document = dict[str, Any]
Resource = dict[str, Any]
Parameters = Mapping[str, str | int]

_NONE: Parameters = MappingProxyType({})


@dataclass(frozen=True)
class Problem:
    """One error object of a response.

    ``pointer`` says which part of the body it is about, ``parameter`` which parameter or header.
    ``duplicate_profile_id`` is the profile that has the address already, if Klaviyo names it.
    """

    code: str
    detail: str
    pointer: str | None
    duplicate_profile_id: str | None = None
    parameter: str | None = None


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


class _RefusedKeyError(RefusedAnswerError):
    """An answer that refuses the key; ``error`` is raised if every attempt ends so."""

    def __init__(self, error: KlaviyoRefusedError) -> None:
        super().__init__(f"status {error.status}")
        self.error = error


class KlaviyoRevisionError(KlaviyoError):
    """Klaviyo does not serve the revision of its API that Quintile asks for."""

    advice = (
        "Upgrade Quintile: a newer release uses a newer revision. If QUINTILE_KLAVIYO_REVISION is"
        " set, remove it."
    )


class PagesDoNotAdvanceError(KlaviyoError):
    """Klaviyo's pages of a collection lead to no end."""

    advice = "The next sync reads them again. If it fails as well, report it to Klaviyo."

    def __init__(self, operation: str) -> None:
        super().__init__(f"Klaviyo's pages of {operation} do not advance.")


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
            KlaviyoRefusedError: The key was refused at every attempt (401).
            KlaviyoScopeError: It lacks a scope, or was refused at every attempt (403).
            KlaviyoRevisionError: The revision is retired (410) or unknown.
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
        """The resources of every page of a collection. Raises as :meth:`get`.

        Raises:
            PagesDoNotAdvanceError: A link or a page comes again, or more than a hundred pages in a
                row are empty.
        """
        document = self.get(operation, path, parameters)
        seen: set[int] = set()
        empty = 0
        while True:
            page, following = _resources(document), _next_link(document)
            marks = {hash(following)} if following else set()
            if page:
                marks.add(hash(tuple(str(each["id"]) for each in page)))
            empty = 0 if page else empty + 1
            if seen & marks or empty > _MOST_EMPTY_PAGES:
                raise PagesDoNotAdvanceError(operation)
            seen |= marks
            yield page
            if following is None:
                return
            # The key is sent only to Klaviyo, whatever a response says.
            if not following.startswith(f"{self._base_url}/"):
                raise KlaviyoError("Klaviyo's next page is not on its own server.")
            document = self._call("GET", operation, following)

    def _call(self, method: str, operation: str, url: str, **content: Any) -> Document:
        try:
            return retry_transient(
                lambda: self._attempt(method, f"{method} {operation}", url, content),
                attempts=self._attempts,
            )
        except _RefusedKeyError as refused:
            raise refused.error from None
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
        if response.status_code == httpx.codes.GONE:
            raise self._revision_error(())
        document = decode_json(response)
        is_error = not response.is_success
        if not isinstance(document, dict) or (
            # What stands before Klaviyo, such as its firewall, has no say about the key.
            is_error and not isinstance(document.get("errors"), list)
        ):
            raise TransientError(
                f"it answered with status {response.status_code} and nothing that can be read"
            )
        if not is_error:
            return document
        problems = _problems(document)
        if any((problem.parameter or "").lower() == "revision" for problem in problems):
            raise self._revision_error(problems)
        failure = _error(response.status_code, problems)
        is_certain = isinstance(failure, KlaviyoScopeError) and failure.missing_scopes
        if isinstance(failure, KlaviyoRefusedError) and not is_certain:
            # Such answers also come by mistake and pass.
            raise _RefusedKeyError(failure)
        raise failure

    def _revision_error(self, problems: tuple[Problem, ...]) -> KlaviyoRevisionError:
        revision = self._http.headers.get("revision", "")
        return KlaviyoRevisionError(
            f"Klaviyo does not serve revision {revision} of its API.",
            status=httpx.codes.GONE,
            problems=problems,
        )


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
        OPT_OUT_HEADER: "1",
        "Accept": MEDIA_TYPE,
    }
    with open_client(headers, provider="klaviyo") as http:
        yield KlaviyoClient(
            http,
            settings.klaviyo_url.rstrip("/"),
            windows=windows or LocalWindows(),
            attempts=attempts,
        )


def _resources(document: Document) -> list[Resource]:
    data = document.get("data")
    if not isinstance(data, list) or not all(
        isinstance(each, dict) and "id" in each for each in data
    ):
        raise KlaviyoError("Klaviyo answered with a page that is no list of resources.")
    return data


def _next_link(document: Document) -> str | None:
    links = document.get("links")
    following = links.get("next") if isinstance(links, dict) else None
    return str(following) if following else None


def _problems(document: Document) -> tuple[Problem, ...]:
    """The error objects of a response, which may lack any of their members."""
    return tuple(
        Problem(
            code=str(error.get("code") or ""),
            detail=str(error.get("detail") or error.get("title") or "")[:300],
            pointer=_text(error.get("source"), "pointer"),
            duplicate_profile_id=_text(error.get("meta"), "duplicate_profile_id"),
            parameter=_text(error.get("source"), "parameter"),
        )
        for error in document["errors"]
        if isinstance(error, dict)
    )


def _text(value: object, key: str) -> str | None:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


def _error(status: int, problems: tuple[Problem, ...]) -> KlaviyoError:
    reason = problems[0].detail if problems and problems[0].detail else "no reason given"
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        kind = KlaviyoRefusedError if status == httpx.codes.UNAUTHORIZED else KlaviyoScopeError
        message = f"Klaviyo does not accept the API key (status {status}): {reason}"
        return kind(message, status=status, problems=problems)
    message = f"Klaviyo answered with status {status}: {reason}"
    return KlaviyoError(message, status=status, problems=problems)
