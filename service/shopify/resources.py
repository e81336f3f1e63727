"""Customers and orders: what each needs to be read from Shopify and loaded into schema shopify."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from psycopg import sql

from service.core.queries import query
from service.shopify.paging import Listing
from service.shopify.parse import Node, Row, parse_customer, parse_order, parse_order_alone


@dataclass(frozen=True)
class Resource:
    """A kind of record, and what reads, loads and compares it.

    Attributes:
        name: Shopify's connection, the table in schema shopify and the counter of what was read.
        entity: One of them, as rejections and refetches call it.
        listing: How they are paged, in the order of their changes.
        per_page: Records per page.
        parse: A row of the table from a node of a page.
        parse_bulk: The same from a line of a bulk operation's file; an order has no lines there.
        create: Creates the temporary table of incoming rows.
        copy: Adds incoming rows in COPY's text format.
        load: Writes rows that differ. ``{incoming}`` stands for the statement that reads them.
        read_page: Reads the rows of a page.
        read_incoming: Reads rows of the temporary table.
        keep_stored: Gives rows of the temporary table the stored values of what was not read.
        clear_rejections: Clears what was rejected before of the incoming rows.
        find_missing: Finds loaded records that a listing of the store's ids lacks.
        record_differing: Has those refetched that the listing has in another state.
        mark_missing: Marks refetched records as deleted that the store does not have.
    """

    name: str
    entity: str
    listing: Listing
    per_page: int
    parse: Callable[[Node], Row]
    parse_bulk: Callable[[Node], Row]
    create: sql.SQL
    copy: sql.SQL
    load: sql.SQL
    read_page: sql.SQL
    read_incoming: sql.SQL
    keep_stored: sql.SQL
    clear_rejections: sql.SQL
    find_missing: sql.SQL
    record_differing: sql.SQL
    mark_missing: sql.SQL


CUSTOMERS = Resource(
    "customers",
    "customer",
    Listing("customers", "customers", ids="customer_ids"),
    per_page=250,
    parse=parse_customer,
    parse_bulk=parse_customer,
    create=query("shopify.create_incoming_customers"),
    copy=query("shopify.copy_incoming_customers"),
    load=query("shopify.load_customers"),
    read_page=query("shopify.read_page_customers"),
    read_incoming=query("shopify.read_incoming_customers"),
    keep_stored=query("shopify.keep_stored_customers"),
    clear_rejections=query("shopify.clear_customer_rejections"),
    find_missing=query("shopify.find_missing_customers"),
    record_differing=query("shopify.record_differing_customers"),
    mark_missing=query("shopify.mark_missing_customers"),
)
ORDERS = Resource(
    "orders",
    "order",
    Listing("orders", "orders", ids="order_ids"),
    per_page=50,
    parse=parse_order,
    parse_bulk=parse_order_alone,
    create=query("shopify.create_incoming_orders"),
    copy=query("shopify.copy_incoming_orders"),
    load=query("shopify.load_orders"),
    read_page=query("shopify.read_page_orders"),
    read_incoming=query("shopify.read_incoming_orders"),
    keep_stored=query("shopify.keep_stored_orders"),
    clear_rejections=query("shopify.clear_order_rejections"),
    find_missing=query("shopify.find_missing_orders"),
    record_differing=query("shopify.record_differing_orders"),
    mark_missing=query("shopify.mark_missing_orders"),
)
