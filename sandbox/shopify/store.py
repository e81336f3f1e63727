"""One sandbox store: its rows, what the app may see of them, and how tests may change them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import NAMESPACE_URL, uuid5

from ..data import Customer, Order, Segment, StoreData
from .bulk import BulkJobs
from .cost import LeakyBucket
from .metafields import Metafields, Place
from .paging import Index, SortKey
from .segment_query import CustomerFacts, Predicate, SegmentSyntaxError, parse_segment_query
from .uploads import Uploads
from .webhooks import Announced, Webhooks

if TYPE_CHECKING:
    from .discounts import Discount

ALL_SCOPES = frozenset(
    {
        "read_all_orders",
        "read_customers",
        "read_orders",
        "read_products",
        "write_customers",
        "write_discounts",
    }
)
# Without `read_all_orders` an app sees the orders of this many days before now.
RECENT_ORDER_DAYS = 60
# Shopify's highest plan, in points and points per second.
PLUS_MAXIMUM, PLUS_RESTORE_RATE = 40_000, 2_000

_UPDATED = "updated_at"
_Row = TypeVar("_Row")


@dataclass(slots=True)
class MembersQuery:
    """An asynchronous query for the members of a segment. Done after so many looks."""

    id: str
    members: tuple[int, ...]
    looks: int = 0
    looks_needed: int = 2

    @property
    def is_done(self) -> bool:
        """Whether its members can be read."""
        return self.looks >= self.looks_needed


@dataclass(slots=True)
class SegmentFaults:
    """What goes wrong with a store's segments, for tests.

    `looks_needed` is how often an asynchronous query must be looked at before it is done; the next
    `lost_queries` are forgotten when they are looked at. The next `expired_cursors` pages asked for
    by a cursor are refused. `member_offset` is added to the number in members' ids, and
    `phantom_members` to their count; the ids of `odd_members` are no numbers. The members of
    `broken` segments end in an internal error.
    """

    looks_needed: int = 2
    lost_queries: int = 0
    expired_cursors: int = 0
    member_offset: int = 0
    phantom_members: int = 0
    odd_members: frozenset[int] = frozenset()
    broken: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class RecordFaults:
    """What goes wrong with single records, for tests: see Store.fail_records.

    `broken` has, by kind and number, the field at which a record ends in an internal error: where
    the field must not be null, the whole answer does. Pages of at least `heavy_from` records are
    answered with status 504. The app is not approved for the fields and objects in `withheld`.
    `listed_at` has, by number, when the index believes that a record has changed. While `unlisted`,
    orders and customers are counted and not listed.
    """

    broken: Mapping[tuple[str, int], str] = field(default_factory=dict)
    heavy_from: int | None = None
    withheld: frozenset[str] = frozenset()
    listed_at: Mapping[int, datetime] = field(default_factory=dict)
    unlisted: bool = False


@dataclass(slots=True)
class _Cache:
    """What is derived from the rows; dropped whenever a row changes."""

    indexes: dict[tuple[str, str], Index[Any]] = field(default_factory=dict)
    facts: dict[int, CustomerFacts] | None = None
    members: dict[int, Index[CustomerFacts]] = field(default_factory=dict)


class Store:
    """A store that answers for one access token. Hold `lock` while reading several rows."""

    def __init__(
        self,
        data: StoreData,
        *,
        scopes: frozenset[str] = ALL_SCOPES,
        bucket: LeakyBucket | None = None,
    ) -> None:
        """`bucket` defaults to the top plan's, so that a demonstration is quick."""
        self.data = data
        self.scopes = scopes
        self.bucket = bucket or LeakyBucket(PLUS_MAXIMUM, PLUS_RESTORE_RATE)
        self.lock = RLock()
        self.customers = {customer.number: customer for customer in data.customers}
        self._orders = {order.number: order for order in data.orders}
        self.segments = {segment.number: segment for segment in data.segments}
        self.members_queries: dict[str, MembersQuery] = {}
        self.discounts: dict[int, Discount] = {}
        # The most segments or customers of one discount; no limit if None.
        self.most_discount_targets: int | None = None
        self.metafields = Metafields()
        self.uploads = Uploads(data.number)
        self.segment_faults = SegmentFaults()
        self.record_faults = RecordFaults()
        self._members_queries_started = 0
        self.bulk = BulkJobs()
        self.is_installed = True
        self.webhooks = Webhooks(data.domain)
        self._announced = Announced()
        self._cache = _Cache()

    # Reading

    @property
    def now(self) -> datetime:
        """The store's present: the end of its history."""
        return self.data.anchor

    def clock(self) -> datetime:
        """What the store's clock shows: when something changed last."""
        return self._next_update() - timedelta(seconds=1)

    def order(self, number: int) -> Order | None:
        """The order with this id, if the app may see it."""
        order = self._orders.get(number)
        return order if order is not None and self._may_see(order) else None

    def orders(self, sort: str) -> Index[Order]:
        """The orders the app may see, sorted by the attribute `sort` (a time, or `number`)."""
        return self._index(
            "orders", sort, lambda: [o for o in self._orders.values() if self._may_see(o)]
        )

    def customers_by(self, sort: str) -> Index[Customer]:
        """All customers, sorted by the attribute `sort`."""
        return self._index("customers", sort, lambda: list(self.customers.values()))

    def segments_by(self, sort: str) -> Index[Segment]:
        """All segments, sorted by the attribute `sort`."""
        return self._index("segments", sort, lambda: list(self.segments.values()))

    def facts(self) -> dict[int, CustomerFacts]:
        """What the orders say about each customer, by customer number."""
        with self.lock:
            if self._cache.facts is None:
                self._cache.facts = _derive_facts(
                    self.customers, self._orders, self.metafields.values
                )
            return self._cache.facts

    def members_where(self, predicate: Predicate) -> list[CustomerFacts]:
        """The customers a predicate selects."""
        return [facts for facts in self.facts().values() if predicate(facts)]

    def members_of(self, segment: Segment) -> Index[CustomerFacts]:
        """The members of a segment, by customer number.

        A segment with a filter that no longer exists has none.
        """
        with self.lock:
            if segment.number not in self._cache.members:
                try:
                    members = self.members_where(self.parse_segment_query(segment.query))
                except SegmentSyntaxError:
                    members = []
                self._cache.members[segment.number] = index_members(members)
            return self._cache.members[segment.number]

    def parse_segment_query(self, query: str) -> Predicate:
        """A predicate that selects the members of a query. Raises SegmentSyntaxError."""
        return parse_segment_query(query, self.now, self.metafields)

    def start_members_query(self, members: list[CustomerFacts]) -> MembersQuery:
        """Begin an asynchronous query that returns the current `members`."""
        with self.lock:
            self._members_queries_started += 1
            unique = uuid5(NAMESPACE_URL, f"{self.data.domain}/{self._members_queries_started}")
            query = MembersQuery(
                id=f"gid://shopify/CustomerSegmentMembersQuery/{unique}",
                members=tuple(facts.customer.number for facts in members),
                looks_needed=self.segment_faults.looks_needed,
            )
            self.members_queries[query.id] = query
            return query

    def lose_members_queries(self) -> None:
        """Forget the asynchronous queries, as Shopify does after a while."""
        with self.lock:
            self.members_queries.clear()

    def listed_time(self, row: Any, attribute: str) -> datetime:
        """A time of an order or a customer as the index has it, which may lag behind."""
        at: datetime = getattr(row, attribute)
        return self.record_faults.listed_at.get(row.number, at) if attribute == _UPDATED else at

    def fail_records(self, **faults: Any) -> None:
        """Let these go wrong with records from now on, and nothing else: see RecordFaults."""
        with self.lock:
            self.record_faults = RecordFaults(**faults)
            self._cache = _Cache()

    # Changing, for tests: every change moves `updated_at` forward, as in a real store.

    def upsert_order(self, order: Order) -> None:
        """Add an order, or put it in the place of the one with the same number."""
        with self.lock:
            before = self._orders.get(order.number)
            self._orders[order.number] = order
            self._cache = _Cache()
            self.webhooks.order_changed(before, order, self.customers)
            self._announce_members()

    def update_order(self, number: int, **fields: Any) -> Order:
        """Change fields of an order; `updated_at` moves a second past the store's latest."""
        with self.lock:
            changed = replace(self._orders[number], **{"updated_at": self._next_update(), **fields})
            self.upsert_order(changed)
            return changed

    def delete_order(self, number: int) -> None:
        """Remove an order, as a merchant can; nothing of it remains to be read."""
        with self.lock:
            del self._orders[number]
            self._cache = _Cache()
            self.webhooks.emit("orders/delete", {"id": number})
            self._announce_members()

    def upsert_customer(self, customer: Customer) -> None:
        """Add a customer, or put them in the place of the one with the same number."""
        with self.lock:
            before = self.customers.get(customer.number)
            self.customers[customer.number] = customer
            self._cache = _Cache()
            self.webhooks.customer_changed(before, customer)
            self._announce_members()

    def update_customer(self, number: int, **fields: Any) -> Customer:
        """Change fields of a customer; `updated_at` moves a second past the store's latest."""
        with self.lock:
            changed = replace(
                self.customers[number], **{"updated_at": self._next_update(), **fields}
            )
            self.upsert_customer(changed)
            return changed

    def redact_customer(self, number: int) -> None:
        """Erase a customer's personal data, as a merchant can, and have the app do the same."""
        with self.lock:
            before = self.customers[number]
            orders = [order.number for order in self._orders.values()]
            own = [n for n in orders if self._orders[n].customer_number == number]
            self.update_customer(number, first_name="", last_name="", email=None, is_redacted=True)
            if self.webhooks.app_uri is not None:
                customer = {"id": number, "email": before.email, "phone": None}
                self.webhooks.request("customers/redact", customer=customer, orders_to_redact=own)

    def delete_customer(self, number: int) -> None:
        """Remove a customer; their orders become guests' orders."""
        with self.lock:
            del self.customers[number]
            self.metafields.delete_customer(number)
            for order in self._orders.values():
                if order.customer_number == number:
                    order.customer_number = None
            self._cache = _Cache()
            self.webhooks.emit("customers/delete", {"id": number})
            self._announce_members()

    def add_segment(self, segment: Segment) -> None:
        """Add a segment."""
        with self.lock:
            self.segments[segment.number] = segment
            self._cache = _Cache()
            self.webhooks.segment_changed("segments/create", segment)
            self._announce_members()

    def merge_customers(self, kept: int, removed: int) -> None:
        """Merge a customer into another, who gets the orders; these are not "updated" by it."""
        with self.lock:
            for order in self._orders.values():
                if order.customer_number == removed:
                    order.customer_number = kept
            del self.customers[removed]
            self.metafields.delete_customer(removed)
            self.update_customer(kept)
            self.webhooks.customers_merged(kept, removed)

    def change_metafields(self, changes: Mapping[Place, str | None]) -> None:
        """Set metafields of customers, or delete them (None). A customer changes with them."""
        with self.lock:
            values = self.metafields.values
            changed = {place: v for place, v in changes.items() if values.get(place) != v}
            if not changed:
                return
            for place, value in changed.items():
                if value is None:
                    del values[place]
                else:
                    values[place] = value
            updated_at = self._next_update()
            for number in {number for number, _, _ in changed} & self.customers.keys():
                before = self.customers[number]
                self.customers[number] = replace(before, updated_at=updated_at)
                self.webhooks.customer_changed(before, self.customers[number])
            self._cache = _Cache()
            self._announce_members()

    def delete_metafield_definition(self, namespace: str, key: str, *, with_values: bool) -> None:
        """Delete a definition of customer metafields, as a merchant can, and maybe its values."""
        with self.lock:
            self.metafields.delete_definition(namespace, key, with_values=with_values)
            self._cache = _Cache()
            self._announce_members()

    def update_segment(self, number: int, **fields: Any) -> Segment:
        """Rename a segment or change its query; its members follow."""
        with self.lock:
            edited = self.now + timedelta(seconds=1)
            changed = replace(self.segments[number], **{"last_edit_date": edited, **fields})
            self.segments[number] = changed
            self._cache = _Cache()
            self.webhooks.segment_changed("segments/update", changed)
            self._announce_members()
            return changed

    def delete_segment(self, number: int) -> None:
        """Remove a segment."""
        with self.lock:
            del self.segments[number]
            self._cache = _Cache()
            self.webhooks.emit("segments/delete", {"id": number})
            self._announce_members()

    def uninstall(self) -> None:
        """Remove the app: its tokens are revoked and its subscriptions deleted."""
        with self.lock:
            self.is_installed = False
            self.webhooks.emit(
                "app/uninstalled",
                {
                    "id": self.data.number,
                    "name": self.data.name,
                    "email": self.data.email,
                    "myshopify_domain": self.data.domain,
                },
            )
            self.webhooks.subscriptions.clear()

    def install(self) -> None:
        """Install the app again, with the token it had."""
        self.is_installed = True

    def _announce_members(self) -> None:
        """Tell who has joined and left segments, if anybody has subscribed to that."""
        if self.webhooks.are_members_followed():
            members = {
                number: {facts.customer.number for facts in self.members_of(segment).rows}
                for number, segment in self.segments.items()
            }
            self.webhooks.members_changed(self._announced, members)

    def _may_see(self, order: Order) -> bool:
        if "read_all_orders" in self.scopes:
            return True
        return order.created_at >= self.now - timedelta(days=RECENT_ORDER_DAYS)

    def _next_update(self) -> datetime:
        times = [order.updated_at for order in self._orders.values()]
        times += [customer.updated_at for customer in self.customers.values()]
        # A record dated in the future does not move the store's clock.
        latest = max(datetime.now(UTC), self.now + timedelta(days=1))
        times = [at for at in times if at <= latest]
        return max(times, default=self.now) + timedelta(seconds=1)

    def _index(self, kind: str, sort: str, rows: Callable[[], list[_Row]]) -> Index[_Row]:
        with self.lock:
            if (kind, sort) not in self._cache.indexes:
                key = partial(self._sort_key, sort)
                self._cache.indexes[kind, sort] = Index.build(rows(), key)
            return self._cache.indexes[kind, sort]

    def _sort_key(self, attribute: str, row: Any) -> SortKey:
        if attribute == "number":
            return row.number, row.number
        if isinstance(row, Segment):
            return int(getattr(row, attribute).timestamp()), row.number
        return int(self.listed_time(row, attribute).timestamp()), row.number


def index_members(members: list[CustomerFacts]) -> Index[CustomerFacts]:
    """Members in the order Shopify lists them: by id."""
    return Index.build(members, lambda facts: (facts.customer.number, facts.customer.number))


def _derive_facts(
    customers: dict[int, Customer], orders: dict[int, Order], metafields: Mapping[Place, str]
) -> dict[int, CustomerFacts]:
    """Count and sum each customer's orders; tests do not count, cancelled ones bring no money."""
    placed: dict[int, list[Order]] = {number: [] for number in customers}
    for order in orders.values():
        if order.customer_number in placed and not order.test:
            placed[order.customer_number].append(order)
    held: dict[int, dict[tuple[str, str], str]] = {}
    for (number, namespace, key), value in metafields.items():
        held.setdefault(number, {})[namespace, key] = value
    facts = {}
    for number, theirs in placed.items():
        theirs.sort(key=lambda order: (order.processed_at, order.number))
        facts[number] = CustomerFacts(
            customer=customers[number],
            number_of_orders=len(theirs),
            amount_spent=sum(order.current_total for order in theirs),
            first_order_at=theirs[0].processed_at if theirs else None,
            last_order_at=theirs[-1].processed_at if theirs else None,
            last_order_number=theirs[-1].number if theirs else None,
            metafields=held.get(number, {}),
        )
    return facts
