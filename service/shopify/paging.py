"""Pages of a connection, past records that Shopify cannot serve.

A page that ends in an internal error, takes too long or is too heavy is halved, down to the single
record. If Shopify cannot serve that one although it lists its id, it is left out with the reason,
and paging goes on behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from service.shopify.errors import (
    Failure,
    ShopifyError,
    ShopifyPartialError,
    ShopifyQueryError,
    ShopifyUnservedError,
)
from service.shopify.parse import Node, Rejection, source_id_of
from service.shopify.withheld import field_of

if TYPE_CHECKING:
    from service.shopify.client import Data, ShopifyClient

# For a query that can be split: after that a smaller one is the better next attempt.
SPLIT_ATTEMPTS = 2
# A page that was made smaller grows again after this many that were answered.
_ANSWERED_BEFORE_GROWING = 10
# After so many records in a row, Shopify must still be able to serve one that it has served.
_UNSERVED_IN_A_ROW = 3
# If it has not served any, this many are left out before it is taken for unavailable.
_UNSERVED_AT_FIRST = 10


@dataclass(frozen=True)
class Listing:
    """A connection to be paged.

    ``document`` has the variables ``$first`` and ``$after``, and ``connection`` at its root.
    ``ids`` is a document that only asks for the nodes' ids and times: without it, a record that
    cannot be served ends the paging.
    """

    document: str
    connection: str
    ids: str | None = None


@dataclass(frozen=True)
class Page:
    """What a page has of a connection.

    ``nodes`` were served; ``missing`` has, by a node's id, the optional fields that were not.
    ``unserved`` are the records that Shopify could not serve, with the reason; ``listed`` are
    their ids and times as nodes. ``cursor`` is where the page ends; ``total`` the connection's
    count, if asked for.
    """

    nodes: list[Node]
    cursor: str | None
    is_last: bool
    missing: dict[str, set[str]] = field(default_factory=dict)
    unserved: list[Rejection] = field(default_factory=list)
    listed: list[Node] = field(default_factory=list)
    total: int | None = None


def pages(
    client: ShopifyClient,
    listing: Listing,
    *,
    first: int,
    after: str | None = None,
    **variables: Any,
) -> Iterator[Page]:
    """Every page of a connection.

    Args:
        client: The shop.
        listing: What to page.
        first: Nodes per page to begin with.
        after: The cursor to begin behind.
        variables: Further variables of the document.

    Raises:
        ShopifyError: As :meth:`ShopifyClient.run`, or paging makes no progress.
    """
    reader = _Reader(client, listing, first, variables)
    while True:
        page = reader.read(after)
        if page is None:
            continue
        yield page
        if page.is_last:
            return
        if page.cursor in (None, after):
            raise ShopifyQueryError(f"Shopify's paging of {listing.connection} makes no progress.")
        after = page.cursor


class _Reader:
    """Reads one page after the other, in a size that Shopify answers."""

    def __init__(
        self, client: ShopifyClient, listing: Listing, first: int, variables: dict[str, Any]
    ) -> None:
        self._client = client
        self._listing = listing
        self._variables = variables
        self._first = first
        self._size = first
        self._answered = 0
        self._unserved = 0
        # Behind which cursor a record was served, and one was listed last, once one was.
        self._served_after: tuple[str | None] | None = None
        self._listed_after: tuple[str | None] | None = None

    def read(self, after: str | None) -> Page | None:
        """The page behind a cursor; None when it has to be asked for in a smaller size."""
        attempts = SPLIT_ATTEMPTS if self._size > 1 else None
        failures: Sequence[Failure] = ()
        failed: ShopifyError | None = None
        try:
            content = self._ask(self._listing.document, after, self._size, attempts)
        except ShopifyPartialError as error:
            content, failures, failed = error.data[self._listing.connection], error.failures, error
        except (ShopifyQueryError, ShopifyUnservedError) as error:
            if not is_divisible(error):
                raise
            return self._split(after, error)
        page = _page(content, failures)
        if page is None:
            return self._split(after, failed or ShopifyUnservedError())
        if page.nodes:
            self._unserved = 0
            self._served_after = (after,)
        self._answered += 1
        if self._answered >= _ANSWERED_BEFORE_GROWING:
            self._size, self._answered = min(self._size * 2, self._first), 0
        return page

    def _split(self, after: str | None, error: ShopifyError) -> Page | None:
        self._answered = 0
        if self._size > 1:
            if isinstance(error, ShopifyQueryError):
                # The size itself was refused, so a larger one would be refused again.
                self._first = self._size // 2
            elif self._listing.ids is not None and self._listed_after != (after,):
                # If Shopify does not even list the first record, no smaller page will do.
                self._ask(self._listing.ids, after, 1)
                self._listed_after = (after,)
            self._size //= 2
            return None
        if self._listing.ids is None:
            raise error
        return self._leave_out(after, error, self._listing.ids)

    def _leave_out(self, after: str | None, error: ShopifyError, ids: str) -> Page:
        """A page of the one record that cannot be served.

        Raises:
            ShopifyError: Shopify does not even list it, or serves no other record either.
        """
        self._unserved += 1
        if self._served_after is None:
            if self._unserved > _UNSERVED_AT_FIRST:
                raise error
        elif self._unserved % _UNSERVED_IN_A_ROW == 0:
            self._ask(self._listing.document, self._served_after[0], 1)
        content = self._ask(ids, after, 1)
        listed = _nodes(content)
        # The reason has been found, so the next page may be as large as before.
        self._size = self._first
        return Page(
            nodes=[],
            cursor=content["pageInfo"]["endCursor"],
            is_last=not content["pageInfo"]["hasNextPage"],
            unserved=[unserved(node["id"], error.message) for node in listed],
            listed=listed,
            total=content.get("totalCount"),
        )

    def _ask(
        self, document: str, after: str | None, first: int, attempts: int | None = None
    ) -> Data:
        data = self._client.run(
            document, attempts=attempts, first=first, after=after, **self._variables
        )
        found: Data = data[self._listing.connection]
        return found


def is_divisible(error: ShopifyError) -> bool:
    """Whether a smaller query may be answered."""
    if isinstance(error, ShopifyQueryError):
        return error.is_too_heavy
    return isinstance(error, ShopifyUnservedError)


def unserved(gid: str, reason: str) -> Rejection:
    """A record that Shopify lists and cannot serve."""
    node = {"id": gid}
    return Rejection(source_id_of(node), reason, node)


def sift(
    nodes: Sequence[Node | None], failures: Iterable[Failure]
) -> tuple[dict[int, set[str]], dict[int, str]]:
    """What failed of the nodes of an answer, by their position.

    Returns:
        The optional fields that some lack, and the reasons why others were not served.
    """
    missing: dict[int, set[str]] = {}
    broken: dict[int, str] = {}
    for failure in failures:
        depth, position = next(
            (depth, step) for depth, step in enumerate(failure.path) if isinstance(step, int)
        )
        name = field_of(failure.path[depth + 1 :])
        if name is None or nodes[position] is None:
            broken[position] = f"Shopify could not serve it: {failure.message}"
        else:
            missing.setdefault(position, set()).add(name)
    return missing, broken


def _page(content: Data, failures: Sequence[Failure]) -> Page | None:
    """The page of an answer; None when it does not say which records failed."""
    nodes = _nodes(content)
    missing, broken = sift(nodes, failures)
    if any(not (nodes[position] or {}).get("id") for position in broken):
        return None
    return Page(
        nodes=[node for position, node in enumerate(nodes) if position not in broken],
        cursor=content["pageInfo"]["endCursor"],
        is_last=not content["pageInfo"]["hasNextPage"],
        missing={source_id_of(nodes[position]): missing[position] for position in missing},
        unserved=[unserved(nodes[position]["id"], reason) for position, reason in broken.items()],
        listed=[nodes[position] for position in broken],
        total=content.get("totalCount"),
    )


def _nodes(content: Data) -> list[Node]:
    if "nodes" in content:
        found: list[Node] = content["nodes"]
        return found
    return [edge["node"] for edge in content["edges"]]
