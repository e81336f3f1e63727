"""Fields that Shopify denies an app, and how queries do without them.

Shopify gives names and e-mail addresses only to apps that it has approved for protected customer
data. Without the approval it answers null and an error beside the rest, or nothing at all where a
field must not be null. So such a field is left out and the query is asked again: orders keep the
customer's id. Stored values of a field stay while it is withheld.

Source: https://shopify.dev/docs/apps/launch/protected-customer-data
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

# Fields without which a record is still right, and the columns that they fill.
_COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "app": ("channel",),
        "attribution": ("channel",),
        "customer": ("customer_id", "customer_email", "customer_name"),
        "defaultEmailAddress": ("customer_email", "email", "marketing_state"),
        "displayName": ("customer_name", "display_name"),
        "email": ("customer_email",),
        "note": ("note",),
        # A part of the lines, which are always written as a whole.
        "product": (),
        "publication": ("channel",),
        "sourceName": ("channel",),
    }
)
_NAMES = {
    "customer": "the customers of orders",
    "defaultEmailAddress": "e-mail addresses",
    "displayName": "customers' names",
    "email": "e-mail addresses",
    "product": "product types",
}
# The fields of Shopify's form that the app needs, at level 2.
_PROTECTED = {"defaultEmailAddress": "Email", "displayName": "Name", "email": "Email"}
_NAMED = re.compile(r"(?:use|access) the (\w+) field|Access denied for (\w+) field")
# A scope that every token needs is asked for when connecting.
_NEEDED_SCOPE = re.compile(r"\bread_(?:orders|customers)\b")
_UNAPPROVED = re.compile(r"not approved|protected[- ]customer[- ]data", re.IGNORECASE)


def optional_field(error: Mapping[str, Any]) -> str | None:
    """The field that an ACCESS_DENIED error is about; None if no query can do without it."""
    if _NEEDED_SCOPE.search(str(error.get("message"))):
        return None
    path = error.get("path")
    if isinstance(path, list):
        # The first step is the query's root, without which there is no answer.
        steps = [step for step in path[1:] if isinstance(step, str)]
    else:
        named = _NAMED.search(str(error.get("message")))
        steps = [step for step in (named.groups() if named else ()) if step]
    return next((step for step in reversed(steps) if step in _COLUMNS), None)


def is_unapproved(error: Mapping[str, Any]) -> bool:
    """Whether an ACCESS_DENIED error is about protected customer data, rather than a scope."""
    extensions = error.get("extensions")
    documentation = extensions.get("documentation") if isinstance(extensions, dict) else None
    return bool(_UNAPPROVED.search(f"{error.get('message')} {documentation}"))


def kept_columns(fields: Iterable[str]) -> list[str]:
    """The columns whose stored values stay because these fields were not read."""
    return sorted({column for field in fields for column in _COLUMNS[field]})


def field_of(path: Iterable[str | int]) -> str | None:
    """The optional field at or around a place inside a record; None if it is in no such field."""
    steps = [step for step in path if isinstance(step, str)]
    return next((step for step in reversed(steps) if step in _COLUMNS), None)


def without(text: str, fields: Collection[str]) -> str:
    """A document of ours, which has one field per line, without these fields.

    Root fields stay, whatever their name.
    """
    return _without(text, frozenset(fields))


def describe_withheld(fields: Collection[str]) -> tuple[str, str]:
    """One sentence that says what is withheld, and advice that says what to request."""
    names = sorted({_NAMES.get(field, f"the field {field} of orders") for field in fields})
    message = f"Shopify withholds {' and '.join(names)} from this app."
    if "customer" in fields:
        message += " New orders are loaded without their customers."
    elif _PROTECTED.keys() & set(fields):
        message += " Orders are loaded by customer id."
    advice = "Product types need the scope read_products: give it to the app in Shopify."
    if set(fields) == {"product"}:
        return message, advice
    wanted = sorted({_PROTECTED[field] for field in fields if field in _PROTECTED})
    wanted = wanted or ["Email", "Name"]
    advice = (advice + " " if "product" in fields else "") + (
        "Request access to protected customer data for the app in Shopify's Partner Dashboard (API"
        f" access requests): level 2, with the fields {' and '.join(wanted)}. For an app made in"
        " the store's own admin it depends on the store's plan. The first sync after the approval"
        " fills in the rest; the store need not be connected again."
    )
    return message, advice


@lru_cache(maxsize=256)
def _without(text: str, fields: frozenset[str]) -> str:
    kept: list[str] = []
    depth = dropped_from = 0
    is_fragment = False
    for line in text.split("\n"):
        code = "" if line.lstrip().startswith("#") else line
        name = re.split(r"[\s({:]", code.strip(), maxsplit=1)[0]
        if depth == 0:
            is_fragment = name == "fragment"
        is_dropped = dropped_from > 0
        if not is_dropped and name in fields and depth > (0 if is_fragment else 1):
            is_dropped = True
            dropped_from = depth + 1 if code.count("{") > code.count("}") else 0
        depth += code.count("{") - code.count("}")
        if dropped_from and depth < dropped_from:
            dropped_from = 0
        if not is_dropped:
            kept.append(line)
    return "\n".join(kept)
