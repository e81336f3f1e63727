"""The fields of customer metafields: definitions and values, changed as Shopify does it.

Messages and codes are those of answers recorded with 2026-04. Definitions are the merchant's: the
sandbox has no app-reserved namespaces, and an omitted namespace is refused.
"""

from __future__ import annotations

import re
from typing import Any

from .documents import MAX_PAGE, Document, gid, number_of
from .errors import BadRequestError, ShopifyError
from .metafields import Definition, Place
from .paging import Index, connection, window
from .store import Store

MOST_SET = 25
MOST_DELETED = 250
MOST_FILTERABLE = 50
_OWNER = "CUSTOMER"
_NAME = re.compile(r"[\w-]+", re.ASCII)
# What Shopify lets customers be filtered by, with the category of each type.
_FILTERABLE = {
    "boolean": "TRUE_FALSE",
    "id": "ID",
    "number_integer": "NUMBER",
    "single_line_text_field": "TEXT",
    "url": "URL",
}
_CATEGORIES = {**_FILTERABLE, "date": "DATE_TIME", "json": "JSON", "number_decimal": "NUMBER"}
_INTEGER = re.compile(r"-?\d+")


def list_definitions(store: Store, **args: Any) -> Document:
    """`metafieldDefinitions` of one namespace, or of all."""
    if args["ownerType"] != _OWNER:
        raise BadRequestError("The sandbox has metafields of customers only.")
    found = sorted(
        (
            each
            for each in store.metafields.definitions.values()
            if args.get("namespace") in (None, each.namespace)
            and args.get("key") in (None, each.key)
        ),
        key=lambda each: each.number,
    )
    index = Index([(each.number, each.number) for each in found], found)
    return connection(index, window(args, MAX_PAGE), _definition_document)


def create_definition(store: Store, definition: dict[str, Any]) -> Document:
    """`metafieldDefinitionCreate`."""
    namespace, key = definition.get("namespace") or "", definition["key"]
    error = _name_error(namespace, key) or _create_error(store, definition, namespace, key)
    if error is not None:
        errors = [{"elementIndex": None, "elementKey": None, **error}]
        return {"createdDefinition": None, "userErrors": errors}
    created = store.metafields.define(
        namespace,
        key,
        name=definition["name"],
        type=definition["type"],
        description=definition.get("description"),
        is_filterable=_wants_filter(definition) is True,
    )
    return {"createdDefinition": _definition_document(created), "userErrors": []}


def update_definition(store: Store, definition: dict[str, Any]) -> Document:
    """`metafieldDefinitionUpdate`: its name, description and whether it is a filter."""
    found = store.metafields.definitions.get((definition.get("namespace") or "", definition["key"]))
    if found is None:
        error = _error("NOT_FOUND", "Definition not found.", "definition")
        return {"updatedDefinition": None, "userErrors": [error]}
    wants_filter = _wants_filter(definition)
    if wants_filter and not found.is_filterable:
        refused = _filter_error(store, found.type)
        if refused is not None:
            return {"updatedDefinition": None, "userErrors": [refused]}
    found.name = definition.get("name") or found.name
    found.description = definition.get("description") or found.description
    found.is_filterable = found.is_filterable if wants_filter is None else wants_filter
    return {"updatedDefinition": _definition_document(found), "userErrors": []}


def delete_definition(
    store: Store,
    deleteAllAssociatedMetafields: bool = False,  # noqa: N803 - Shopify's name
    id: str | None = None,  # noqa: A002 - Shopify's name
    identifier: dict[str, Any] | None = None,
) -> Document:
    """`metafieldDefinitionDelete`, by its id or its names."""
    found = _identified(store, id, identifier)
    if found is None:
        error = _error("NOT_FOUND", "Definition not found.", "id" if id else "identifier")
        return {"deletedDefinition": None, "deletedDefinitionId": None, "userErrors": [error]}
    store.delete_metafield_definition(
        found.namespace, found.key, with_values=deleteAllAssociatedMetafields
    )
    return {
        "deletedDefinition": {
            "ownerType": _OWNER,
            "namespace": found.namespace,
            "key": found.key,
        },
        "deletedDefinitionId": gid("MetafieldDefinition", found.number),
        "userErrors": [],
    }


def set_metafields(store: Store, metafields: list[dict[str, Any]]) -> Document:
    """`metafieldsSet`: all of them or none."""
    if len(metafields) > MOST_SET:
        message = f"Exceeded the maximum metafields input limit of {MOST_SET}."
        error = _error("LESS_THAN_OR_EQUAL_TO", message, "metafields")
        return {"metafields": None, "userErrors": [{**error, "elementIndex": None}]}
    if store.metafields.is_failing:
        error = _error("INTERNAL_ERROR", "An internal error occurred.", "metafields")
        return {"metafields": [], "userErrors": [{**error, "elementIndex": None}]}
    refusals = [_set_error(store, str(at), given) for at, given in enumerate(metafields)]
    errors = [{**each, "elementIndex": None} for each in refusals if each is not None]
    if errors:
        return {"metafields": [], "userErrors": errors}
    changes = {_place(given): given["value"] for given in metafields}
    store.change_metafields(changes)
    return {
        "metafields": [_metafield_document(store, _place(given)) for given in metafields],
        "userErrors": [],
    }


def delete_metafields(store: Store, metafields: list[dict[str, Any]]) -> Document:
    """`metafieldsDelete`: null in the place of what is not there. All of them or none."""
    if len(metafields) > MOST_DELETED:
        raise ShopifyError(
            f"The input array size of {len(metafields)} is greater than the maximum allowed of"
            f" {MOST_DELETED}.",
            "MAX_INPUT_SIZE_EXCEEDED",
        )
    places = [_place(given) for given in metafields]
    errors = [
        {"field": ["metafields", str(at)], "message": "Metafield cannot be deleted."}
        for at, (number, *_) in enumerate(places)
        if number in store.metafields.undeletable
    ]
    if errors:
        return {"deletedMetafields": None, "userErrors": errors}
    known = [place in store.metafields.values for place in places]
    store.change_metafields(dict.fromkeys(places))
    return {
        "deletedMetafields": [
            {name: given[name] for name in ("key", "namespace", "ownerId")} if is_known else None
            for given, is_known in zip(metafields, known, strict=True)
        ],
        "userErrors": [],
    }


def _identified(
    store: Store, global_id: str | None, identifier: dict[str, Any] | None
) -> Definition | None:
    definitions = store.metafields.definitions
    if global_id is not None:
        number = number_of("MetafieldDefinition", global_id)
        return next((each for each in definitions.values() if each.number == number), None)
    given = identifier or {}
    if given.get("ownerType") != _OWNER:
        return None
    return definitions.get((given.get("namespace") or "", given["key"]))


def _create_error(store: Store, given: dict[str, Any], namespace: str, key: str) -> Document | None:
    if given["ownerType"] != _OWNER:
        raise BadRequestError("The sandbox has metafields of customers only.")
    if (given.get("access") or {}).get("admin") is not None:
        message = "Setting this access control is not permitted."
        return _error("ADMIN_ACCESS_INPUT_NOT_ALLOWED", message, "definition", "access", "admin")
    if given["type"] not in _CATEGORIES:
        message = f"Type name {given['type']} is not a valid type."
        return _error("INCLUSION", message, "definition", "type")
    if (namespace, key) in store.metafields.definitions:
        message = f"Key is in use for Customer metafields on the '{namespace}' namespace."
        return _error("TAKEN", message, "definition", "key")
    return _filter_error(store, given["type"]) if _wants_filter(given) else None


def _name_error(namespace: str, key: str) -> Document | None:
    for what, text, least, most in (("namespace", namespace, 3, 255), ("key", key, 2, 64)):
        name = what.title()
        if len(text) < least:
            message = f"{name} is too short (minimum is {least} characters)"
            return _error("TOO_SHORT", message, "definition", what)
        if len(text) > most:
            message = f"{name} is too long (maximum is {most} characters)"
            return _error("TOO_LONG", message, "definition", what)
        if not _NAME.fullmatch(text):
            message = f"{name} contains one or more invalid characters."
            return _error("INVALID_CHARACTER", message, "definition", what)
    return None


def _filter_error(store: Store, type_name: str) -> Document | None:
    if type_name not in _FILTERABLE:
        message = "The capability admin_filterable is not valid for this definition."
        return _error("INVALID_CAPABILITY", message, "definition")
    filters = sum(each.is_filterable for each in store.metafields.definitions.values())
    if filters >= MOST_FILTERABLE:
        message = (
            f"You can only use {MOST_FILTERABLE} customer metafield definitions to filter the"
            " customer list. To add a new filter, disable filtering on an existing one."
        )
        code = "OWNER_TYPE_LIMIT_EXCEEDED_FOR_USE_AS_ADMIN_FILTERS"
        return _error(code, message, "definition")
    return None


def _wants_filter(given: dict[str, Any]) -> bool | None:
    capability = (given.get("capabilities") or {}).get("adminFilterable") or {}
    wanted: bool | None = capability.get("enabled")
    return wanted


def _set_error(store: Store, position: str, given: dict[str, Any]) -> Document | None:
    namespace, key = given.get("namespace") or "", given["key"]
    where = ("metafields", position)
    if number_of("Customer", given["ownerId"]) not in store.customers:
        return _error("INVALID_VALUE", "Owner does not exist.", *where, "ownerId")
    if (name_error := _name_error(namespace, key)) is not None:
        return {**name_error, "field": [*where, name_error["field"][-1]]}
    definition = store.metafields.definitions.get((namespace, key))
    wanted = definition.type if definition else given.get("type")
    if wanted is None:
        return _error("BLANK", "Type can't be blank", *where, "type")
    if given.get("type") not in (None, wanted):
        message = (
            f"Type '{given['type']}' must be consistent with the definition's type: '{wanted}'."
        )
        return _error("INVALID_TYPE", message, *where, "type")
    return _value_error(given["value"], wanted, where)


def _value_error(value: str, type_name: str, where: tuple[str, str]) -> Document | None:
    if not value:
        return _error("BLANK", "Value can't be blank.", *where, "value")
    if type_name == "number_integer" and not _INTEGER.fullmatch(value):
        return _error("INVALID_VALUE", "Value must be an integer.", *where, "value")
    return None


def _place(given: dict[str, Any]) -> Place:
    return number_of("Customer", given["ownerId"]), given.get("namespace") or "", given["key"]


def _error(code: str, message: str, *path: str) -> Document:
    return {"code": code, "message": message, "field": list(path)}


def _definition_document(definition: Definition) -> Document:
    is_eligible = definition.type in _FILTERABLE
    return {
        "id": gid("MetafieldDefinition", definition.number),
        "namespace": definition.namespace,
        "key": definition.key,
        "name": definition.name,
        "description": definition.description,
        "ownerType": _OWNER,
        "type": {"name": definition.type, "category": _CATEGORIES[definition.type]},
        "access": {"admin": "PUBLIC_READ_WRITE"},
        "capabilities": {
            "adminFilterable": {
                "eligible": is_eligible,
                "enabled": definition.is_filterable,
                "status": "FILTERABLE" if definition.is_filterable else "NOT_FILTERABLE",
            }
        },
    }


def _metafield_document(store: Store, place: Place) -> Document:
    number, namespace, key = place
    definition = store.metafields.definitions.get((namespace, key))
    return {
        "id": gid("Metafield", f"{number}{sum(f'{namespace}.{key}'.encode())}"),
        "namespace": namespace,
        "key": key,
        "type": definition.type if definition else "single_line_text_field",
        "value": store.metafields.values[place],
    }
