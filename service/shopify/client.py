"""Shopify's Admin GraphQL API: one call at a time, within the shop's rate limit.

Every answer says how many points are left and how fast they are restored. A query's points are
reserved before it is sent, so a call is rarely throttled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from service.core.config import Settings
from service.core.http import (
    ATTEMPTS,
    RefusedAnswerError,
    TransientError,
    decode_json,
    is_html_page,
    open_client,
    retry_transient,
    send,
)
from service.core.metrics import count_throttled
from service.shopify.errors import (
    TOO_LARGE,
    Failure,
    ShopifyDeniedError,
    ShopifyError,
    ShopifyMovedError,
    ShopifyPartialError,
    ShopifyQueryError,
    ShopifyRefusedError,
    ShopifyUnapprovedError,
    ShopifyUnavailableError,
    ShopifyUnknownOutcomeError,
    ShopifyUnservedError,
    ShopifyUnsupportedVersionError,
)
from service.shopify.rate_limit import Bucket, LocalBucket, Throttle
from service.shopify.scopes import fields_without_scope
from service.shopify.tokens import FixedToken, Tokens
from service.shopify.withheld import is_unapproved, optional_field, without
from service.tenants.shop_domain import is_shop_domain

_GRAPHQL_DIR = Path(__file__).parent / "graphql"
_SPREAD = re.compile(r"\.\.\.(\w+)Fields\b")
# Where a record of a list is in an answer's path: nodes.3 or orders.nodes.3.
_RECORD_DEPTH = 3
# The most points that one query may cost, assumed of a document until its cost is known.
_HIGHEST_COST = 1000.0
_UNAUTHORIZED = 401
_REFUSED_STATUSES = frozenset({401, 403})
# What Shopify itself answers, whatever the body: no such shop or version, frozen, locked.
_OWN_STATUSES = frozenset({402, 404, 423})
_TRANSIENT_CODES = frozenset({"INTERNAL_SERVER_ERROR", "TIMEOUT"})

Data = dict[str, Any]


class _FailedQueryError(TransientError):
    """Shopify failed to answer a query; ``codes`` are those of its errors."""

    def __init__(self, reason: str, codes: frozenset[str]) -> None:
        super().__init__(reason)
        self.codes = codes


class _PartialAnswerError(TransientError):
    """An answer with errors at some places inside a list, which the next attempt may not have."""

    def __init__(self, reason: str, data: Data, failures: Sequence[Failure]) -> None:
        super().__init__(reason)
        self.data = data
        self.failures = failures


class _FieldsWithheldError(Exception):
    """Shopify withholds fields, so the query is asked again without them."""


class ShopifyClient:
    """The Admin API of one shop; not to be shared between threads.

    ``calls`` counts the requests made, retries included. ``served_version`` is the version of the
    API that answered last: Shopify answers a retired version with the oldest it still supports.
    ``scopes`` are the token's, as far as they are known; fields of other scopes are not asked for.
    ``withheld`` has the fields that Shopify denies the app, each with Shopify's message: queries
    are sent without them from then on.
    """

    def __init__(
        self, http: httpx.Client, url: str, *, tokens: Tokens, bucket: Bucket, attempts: int
    ) -> None:
        self._http = http
        self._url = url
        self._tokens = tokens
        self._bucket = bucket
        self._attempts = attempts
        self._costs: dict[tuple[str, object], float] = {}
        # A token just renewed, until it is accepted: one that is refused too is not renewed again.
        self._renewed: str | None = None
        self.calls = 0
        self.served_version: str | None = None
        self.scopes: frozenset[str] = frozenset()
        self.withheld: dict[str, str] = {}

    @property
    def address(self) -> str:
        """The URL that is called."""
        return self._url

    @property
    def left_out(self) -> frozenset[str]:
        """The fields that queries are sent without: withheld, or of a scope that is not granted."""
        return fields_without_scope(self.scopes).union(self.withheld)

    def run(
        self,
        name: str,
        *,
        is_repeatable: bool = True,
        attempts: int | None = None,
        **variables: Any,
    ) -> Data:
        """Run the document ``graphql/<name>.graphql`` and return its ``data``.

        Args:
            name: The document.
            is_repeatable: Whether the call may be made twice. If not, it is retried only when
                Shopify has certainly not executed it, as after THROTTLED or 429.
            attempts: The most attempts, if fewer than the client's.
            variables: The document's variables.

        Raises:
            ShopifyRefusedError: The token was refused at every attempt.
            ShopifyDeniedError: It lacks a scope.
            ShopifyQueryError: The answer holds errors; their codes are in ``codes``.
            ShopifyUnknownOutcomeError: A call that is not repeatable may have been executed or not.
            ShopifyUnapprovedError: The app is not approved for what it asks.
            ShopifyUnavailableError: No usable answer after several attempts. As
                ShopifyUnservedError, a smaller query may have one; as ShopifyPartialError, there
                is one with errors inside.
            ShopifyMovedError: The shop has another address now.
            ShopifyError: The shop or the version of the API does not exist.
        """
        try:
            return retry_transient(
                lambda: self._attempt(name, variables, is_repeatable),
                attempts=min(attempts or self._attempts, self._attempts),
            )
        except _PartialAnswerError as error:
            message = f"Shopify keeps failing: {error}."
            raise ShopifyPartialError(message, error.data, error.failures) from None
        except TransientError as error:
            if error.is_undone and attempts is not None and attempts < self._attempts:
                # A smaller query would do no better, so this one gets all of its attempts.
                return self.run(name, is_repeatable=is_repeatable, **variables)
            if isinstance(error, RefusedAnswerError):
                raise ShopifyRefusedError(
                    f"Shopify does not accept the access token ({error})."
                ) from None
            codes = error.codes if isinstance(error, _FailedQueryError) else frozenset()
            # What was never executed was not refused for what is in it.
            kind = ShopifyUnavailableError if error.is_undone else ShopifyUnservedError
            raise kind(f"Shopify keeps failing: {error}.", codes) from None

    def _attempt(self, name: str, variables: Mapping[str, Any], is_repeatable: bool) -> Data:
        try:
            while True:
                try:
                    return self._ask(name, variables)
                except _FieldsWithheldError:
                    continue
        except TransientError as error:
            if is_repeatable or error.is_undone:
                raise
            raise ShopifyUnknownOutcomeError(
                f"Shopify's answer to {name} was lost: {error}."
            ) from None

    def _ask(self, name: str, variables: Mapping[str, Any]) -> Data:
        # A document's cost depends mostly on the page size.
        priced = (name, variables.get("first"))
        reserved = self._bucket.reserve(self._costs.get(priced, _HIGHEST_COST))
        spent, throttle = 0.0, None
        try:
            response = self._send({"query": self._document(name), "variables": variables})
            _check_status(response)
            self.served_version = response.headers.get("X-Shopify-API-Version")
            body = decode_json(response)
            if not isinstance(body, dict):
                raise TransientError("it answered with something that is not a GraphQL answer")
            cost = _object(_object(body.get("extensions")).get("cost"))
            throttle = _throttle(cost)
            if throttle is not None:
                spent = _number(cost.get("actualQueryCost"))
                self._costs[priced] = _number(cost.get("requestedQueryCost"))
        finally:
            self._bucket.settle(reserved, spent, throttle)
        data = body.get("data")
        self._check_errors(name, data, body.get("errors"), self._costs.get(priced, 0.0), throttle)
        if not isinstance(data, dict):
            raise TransientError("it answered without data")
        return data

    def _document(self, name: str) -> str:
        return without(document(name), self.left_out)

    def _send(self, payload: Data) -> httpx.Response:
        token = self._tokens.current()
        response = self._post(payload, token)
        is_refused = response.status_code == _UNAUTHORIZED and not is_html_page(response)
        if is_refused and token != self._renewed and self._tokens.renew(token):
            self._renewed = self._tokens.current()
            response = self._post(payload, self._renewed)
        if response.is_success:
            self._renewed = None
        return response

    def _post(self, payload: Data, token: str) -> httpx.Response:
        self.calls += 1
        headers = {"X-Shopify-Access-Token": token}
        return send(self._http, "POST", self._url, json=payload, headers=headers)

    def _check_errors(
        self, name: str, data: Any, errors: Any, cost: float, throttle: Throttle | None
    ) -> None:
        if not errors:
            return
        listed = errors if isinstance(errors, list) else [errors]
        found = [e if isinstance(e, dict) else {"message": str(e)} for e in listed]
        codes = frozenset(str(_object(e.get("extensions")).get("code")) for e in found)
        # The same sentence may come once per record.
        message = "; ".join(dict.fromkeys(str(e.get("message") or e) for e in found))[:300]
        if "THROTTLED" in codes:
            count_throttled("shopify")
            # Without a time to wait, the retry waits as after other failures.
            wait = _seconds_until(cost, throttle) if throttle else None
            raise TransientError("it throttled the call", retry_after=wait or None, is_undone=True)
        if "ACCESS_DENIED" in codes:
            self._leave_out_denied(found)
            raise ShopifyDeniedError(f"The access token may not do this: {message}")
        if failures := _failures_in_lists(data, found):
            if not codes & _TRANSIENT_CODES:
                reason = f"Shopify answered the query {name} with errors inside: {message}"
                raise ShopifyPartialError(reason, data, failures, is_transient=False)
            raise _PartialAnswerError(f"it answered with errors inside: {message}", data, failures)
        if codes & _TRANSIENT_CODES:
            raise _FailedQueryError("it reported an internal error", codes)
        raise ShopifyQueryError(f"Shopify refused the query {name}: {message}", codes)

    def _leave_out_denied(self, errors: Sequence[Data]) -> None:
        """Have the query asked again without the fields that it is denied, if it can do without.

        Raises:
            ShopifyUnapprovedError: Shopify has not approved the app for what it needs.
        """
        denied = [e for e in errors if _object(e.get("extensions")).get("code") == "ACCESS_DENIED"]
        fields = {optional_field(e): str(e.get("message") or "")[:300] for e in denied}
        new = fields.keys() - self.withheld.keys()
        if None not in fields and new:
            self.withheld.update({name: fields[name] for name in new if name is not None})
            raise _FieldsWithheldError
        for error in denied:
            if is_unapproved(error):
                message = str(error.get("message") or "")[:300]
                raise ShopifyUnapprovedError(f"Shopify has not approved this app: {message}")


@contextmanager
def open_shopify(
    settings: Settings,
    shop: str,
    token: str | Tokens,
    *,
    bucket: Bucket | None = None,
    attempts: int = ATTEMPTS,
    timeout: float = 60,
) -> Iterator[ShopifyClient]:
    """A client for one shop, such as ``example.myshopify.com``; closed at the end of the block.

    To call a connected tenant's store use
    :func:`service.shopify.connection.open_connected_shopify`: it refreshes the token and shares
    the bucket with the tenant's other processes.

    Args:
        settings: Where Shopify is and which version of its API is asked.
        shop: The shop's domain.
        token: An access token, or a source of tokens.
        bucket: Counts the points; a bucket of the client's own unless given.
        attempts: The most attempts per call.
        timeout: Seconds without a byte after which a call fails.
    """
    url = f"{base_url(settings, shop)}/admin/api/{settings.shopify_api_version}/graphql.json"
    tokens = FixedToken(token) if isinstance(token, str) else token
    with open_client({}, provider="shopify", timeout=timeout) as http:
        yield ShopifyClient(
            http, url, tokens=tokens, bucket=bucket or LocalBucket(), attempts=attempts
        )


def base_url(settings: Settings, shop: str) -> str:
    """Where a shop answers, without a final slash."""
    return settings.shopify_url.replace("{shop}", shop).rstrip("/")


@cache
def document(name: str) -> str:
    """The text of ``graphql/<name>.graphql``, with the fragments it uses."""
    text = (_GRAPHQL_DIR / f"{name}.graphql").read_text(encoding="utf-8")
    kinds = dict.fromkeys(_SPREAD.findall(text))
    fragments = [_GRAPHQL_DIR / "fragments" / f"{kind.lower()}.graphql" for kind in kinds]
    return "\n".join([text, *(path.read_text(encoding="utf-8") for path in fragments)])


def _throttle(cost: Data) -> Throttle | None:
    """The state of the rate limit; None if the answer does not tell it."""
    status = _object(cost.get("throttleStatus"))
    names = ("maximumAvailable", "currentlyAvailable", "restoreRate")
    if not all(isinstance(status.get(name), int | float) for name in names):
        return None
    maximum, available, restore_rate = (_number(status[name]) for name in names)
    return Throttle(
        maximum=max(maximum, 1.0), available=available, restore_rate=max(restore_rate, 1.0)
    )


def _object(value: Any) -> Data:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float:
    """A number of points, of which no shop has a billion; 0 for anything else."""
    return min(max(float(value), 0.0), 1e9) if isinstance(value, int | float) else 0.0


def _failures_in_lists(data: Any, errors: Sequence[Data]) -> list[Failure]:
    """The errors, if there is data beside them and each is about one record of a list."""
    failures: list[Failure] = []
    for error in errors:
        path = error.get("path")
        if not isinstance(path, list) or not any(
            isinstance(step, int) for step in path[:_RECORD_DEPTH]
        ):
            return []
        if not isinstance(data, dict) or data.get(str(path[0])) is None:
            return []
        failures.append(Failure(tuple(path), str(error.get("message") or "")[:300]))
    return failures


def _seconds_until(points: float, throttle: Throttle) -> float:
    return max(min(points, throttle.maximum) - throttle.available, 0.0) / throttle.restore_rate


def _check_status(response: httpx.Response) -> None:
    status = response.status_code
    if response.is_success:
        return
    if response.is_redirect:
        raise _moved(response)
    if status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        raise ShopifyQueryError("The answer is too large (status 413).", frozenset({TOO_LARGE}))
    if status not in _OWN_STATUSES and is_html_page(response):
        # Such as a firewall's: it says nothing about the token, and the call never got to Shopify.
        raise TransientError(
            f"a gateway in front of it answered with a web page (status {status})", is_undone=True
        )
    if status in _REFUSED_STATUSES:
        raise RefusedAnswerError(f"status {status}")
    if status == httpx.codes.NOT_FOUND:
        raise ShopifyUnsupportedVersionError(
            "Shopify does not have this shop or this version of its API (status 404).",
            advice="Check the shop's domain and QUINTILE_SHOPIFY_API_VERSION.",
        )
    if status in (httpx.codes.PAYMENT_REQUIRED, httpx.codes.LOCKED):
        raise ShopifyError(
            f"The shop is frozen or locked (status {status}).",
            advice="The shop's owner can resolve this in Shopify.",
        )
    raise ShopifyError(
        f"Shopify answered with status {status}.",
        advice="The next sync tries again. If it lasts, see https://www.shopifystatus.com.",
    )


def _moved(response: httpx.Response) -> ShopifyMovedError:
    """A redirect is not followed, because the token would go to another address."""
    status = response.status_code
    host = response.next_request.url.host if response.next_request else ""
    if is_shop_domain(host) and host != response.request.url.host:
        return ShopifyMovedError(
            f"Shopify redirects calls for this shop to {host} (status {status}).",
            advice="If the shop's domain was changed, follow it; Quintile checks that it is the"
            f" same shop: quintile tenants set NAME --shop {host}",
            shop=host,
        )
    target = host[:80] or "an unknown address"
    return ShopifyMovedError(
        f"Calls for this shop are redirected to {target} (status {status}).",
        advice="Quintile does not follow, because it would send the access token there. Check the"
        " shop's domain, QUINTILE_SHOPIFY_URL, and proxies between here and Shopify.",
    )
