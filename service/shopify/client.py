"""Shopify's Admin GraphQL API: one call at a time, paced by what the shop's bucket holds.

Every answer says how many points are left and how fast they come back; the next query waits for its
points ahead of time, so being throttled is the exception.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from service.config import Settings
from service.errors import QuintileError
from service.http import TransientError, decode_json, open_client, patiently, send

_GRAPHQL_DIR = Path(__file__).parent / "graphql"
_LONGEST_PAUSE_SECONDS = 60.0

Data = dict[str, Any]


class ShopifyError(QuintileError):
    """Shopify did not do what was asked."""


class ShopifyUnavailableError(ShopifyError):
    """Shopify could not be reached, or kept failing."""

    advice = "What has been read so far is kept; the next sync goes on from there."


class ShopifyUnknownOutcomeError(ShopifyUnavailableError):
    """Shopify's answer to a change was lost, so it may have been made or not.

    Raised only for calls that must not be repeated blindly; look what there is, then decide.
    """

    advice = "Look in Shopify whether it has happened before trying again."


class ShopifyRefusedError(ShopifyError):
    """Shopify does not accept the access token."""

    advice = "Connect it again with a valid access token: quintile tenants connect-shopify NAME"


class ShopifyQueryError(ShopifyError):
    """Shopify answered a query with errors.

    ``codes`` are the ``extensions.code`` of its errors, which callers may know how to handle.
    """

    def __init__(self, message: str, codes: frozenset[str] = frozenset()) -> None:
        super().__init__(message)
        self.codes = codes


@dataclass
class _Bucket:
    """The shop's points as the last answer told them."""

    maximum: float
    available: float
    restore_rate: float
    told_at: float

    def seconds_until(self, points: float) -> float:
        restored = (time.monotonic() - self.told_at) * self.restore_rate
        missing = min(points, self.maximum) - min(self.available + restored, self.maximum)
        return max(missing, 0.0) / self.restore_rate


class ShopifyClient:
    """The Admin API of one shop; not to be shared between threads.

    ``calls`` counts the requests made, retries included.
    """

    def __init__(self, http: httpx.Client, url: str) -> None:
        self._http = http
        self._url = url
        self._bucket: _Bucket | None = None
        self._costs: dict[str, float] = {}
        self.calls = 0

    def run(self, name: str, *, is_repeatable: bool = True, **variables: Any) -> Data:
        """The ``data`` of the document ``graphql/<name>.graphql``.

        Args:
            name: The document.
            is_repeatable: Whether asking twice does no harm. A call that is not is asked again
                only when it has certainly not been done, as after THROTTLED or 429.
            variables: The document's variables.

        Raises:
            ShopifyRefusedError: The token is not accepted, or lacks a scope.
            ShopifyQueryError: The answer holds errors; their codes are in ``codes``.
            ShopifyUnknownOutcomeError: A call that is not repeatable may have been done or not.
            ShopifyUnavailableError: No usable answer after several tries.
            ShopifyError: The shop or the version of the API does not exist.
        """
        try:
            return patiently(lambda: self._attempt(name, variables, is_repeatable))
        except TransientError as error:
            raise ShopifyUnavailableError(f"Shopify keeps failing: {error}.") from None

    def _attempt(self, name: str, variables: Mapping[str, Any], is_repeatable: bool) -> Data:
        try:
            return self._ask(name, variables)
        except TransientError as error:
            if is_repeatable or error.is_undone:
                raise
            raise ShopifyUnknownOutcomeError(
                f"Whether Shopify has done {name} is not known: {error}."
            ) from None

    def _ask(self, name: str, variables: Mapping[str, Any]) -> Data:
        if self._bucket is not None:
            wait = self._bucket.seconds_until(self._costs.get(name, 0.0))
            time.sleep(min(wait, _LONGEST_PAUSE_SECONDS))
        self.calls += 1
        payload = {"query": document(name), "variables": variables}
        response = send(self._http, "POST", self._url, json=payload)
        _check_status(response)
        body = decode_json(response)
        if not isinstance(body, dict):
            raise TransientError("it answered with something that is not a GraphQL answer")
        self._note_cost(name, body)
        self._check_errors(name, body.get("errors"))
        data = body.get("data")
        if not isinstance(data, dict):
            raise TransientError("it answered without data")
        return data

    def _note_cost(self, name: str, body: Data) -> None:
        cost = (body.get("extensions") or {}).get("cost") or {}
        status = cost.get("throttleStatus")
        if not status:
            return
        self._costs[name] = float(cost.get("requestedQueryCost") or 0)
        self._bucket = _Bucket(
            maximum=float(status["maximumAvailable"]),
            available=float(status["currentlyAvailable"]),
            restore_rate=max(float(status["restoreRate"]), 1.0),
            told_at=time.monotonic(),
        )

    def _check_errors(self, name: str, errors: Any) -> None:
        if not errors:
            return
        listed = errors if isinstance(errors, list) else [errors]
        found = [e if isinstance(e, dict) else {"message": str(e)} for e in listed]
        codes = frozenset(str((e.get("extensions") or {}).get("code")) for e in found)
        message = "; ".join(str(e.get("message") or e) for e in found)[:300]
        if "THROTTLED" in codes:
            cost = self._costs.get(name, 0.0)
            wait = self._bucket.seconds_until(cost) if self._bucket else 0.0
            # Nothing to wait for means that we do not know: then as long as for other failures.
            raise TransientError("it throttled us", retry_after=wait or None, is_undone=True)
        if codes & {"INTERNAL_SERVER_ERROR", "TIMEOUT"}:
            raise TransientError("it reported an internal error")
        if "ACCESS_DENIED" in codes:
            raise ShopifyRefusedError(
                f"The access token may not do this: {message}",
                advice="Give the app that scope in Shopify, then connect the shop again.",
            )
        raise ShopifyQueryError(f"Shopify refused the query {name}: {message}", codes)


@contextmanager
def open_shopify(settings: Settings, shop: str, token: str) -> Iterator[ShopifyClient]:
    """A client for one shop, such as ``example.myshopify.com``; closed at the end of the block."""
    base = settings.shopify_url.replace("{shop}", shop).rstrip("/")
    url = f"{base}/admin/api/{settings.shopify_api_version}/graphql.json"
    with open_client({"X-Shopify-Access-Token": token}) as http:
        yield ShopifyClient(http, url)


def pages(
    client: ShopifyClient, name: str, connection: str, *, first: int, **variables: Any
) -> Iterator[Data]:
    """Every page of a connection at the root of a document, as the connection itself.

    A shop that prices the document higher than one query may cost gets smaller pages.

    Args:
        client: The shop.
        name: A document with the variables ``$first`` and ``$after``.
        connection: The root field that is the connection.
        first: Nodes per page to begin with.
        variables: Further variables of the document.

    Raises:
        ShopifyError: As :meth:`ShopifyClient.run`, or paging does not get on.
    """
    after: str | None = None
    while True:
        try:
            data = client.run(name, first=first, after=after, **variables)
        except ShopifyQueryError as error:
            if "MAX_COST_EXCEEDED" not in error.codes or first == 1:
                raise
            first //= 2
            continue
        page: Data = data[connection]
        yield page
        info = page["pageInfo"]
        if not info["hasNextPage"]:
            return
        if info["endCursor"] in (None, after):
            raise ShopifyError(f"Shopify's paging of {connection} does not get on.")
        after = info["endCursor"]


@cache
def document(name: str) -> str:
    """The text of ``graphql/<name>.graphql``."""
    return (_GRAPHQL_DIR / f"{name}.graphql").read_text(encoding="utf-8")


def _check_status(response: httpx.Response) -> None:
    status = response.status_code
    if status == httpx.codes.OK:
        return
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise ShopifyRefusedError(f"Shopify does not accept the access token (status {status}).")
    if status == httpx.codes.NOT_FOUND:
        raise ShopifyError(
            "Shopify knows no such shop, or not this version of its API (status 404).",
            advice="Check the shop's domain and QUINTILE_SHOPIFY_API_VERSION.",
        )
    if status in (httpx.codes.PAYMENT_REQUIRED, httpx.codes.LOCKED):
        raise ShopifyError(
            f"The shop is frozen or locked (status {status}).",
            advice="Its owner has to settle this in Shopify.",
        )
    raise ShopifyError(f"Shopify answered with status {status}.")
