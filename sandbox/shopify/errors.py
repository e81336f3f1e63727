"""Errors in the shapes Shopify's Admin API gives them."""

from __future__ import annotations

import re

from graphql import GraphQLError

DOCUMENTATION = "https://shopify.dev/api/usage"
PROTECTED_DATA = "https://shopify.dev/docs/apps/launch/protected-customer-data"


class ShopifyError(GraphQLError):
    """An error raised by a field; `code` goes to `extensions.code`."""

    def __init__(self, message: str, code: str, **extensions: object) -> None:
        super().__init__(message, extensions={"code": code, **extensions})


class BadRequestError(ShopifyError):
    """The arguments of a field do not make sense together."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "BAD_REQUEST")


class NotFoundError(ShopifyError):
    """The object asked for does not exist."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "NOT_FOUND")


class AccessDeniedError(ShopifyError):
    """The token lacks the scope a field needs."""

    def __init__(self, field: str, scope: str) -> None:
        required = f"`{scope}` access scope."
        super().__init__(
            f"Access denied for {field} field. Required access: {required}",
            "ACCESS_DENIED",
            documentation=f"{DOCUMENTATION}/access-scopes",
            requiredAccess=required,
        )


class NotApprovedError(ShopifyError):
    """The app is not approved for protected customer data; `what` is a field or an object."""

    def __init__(self, what: str) -> None:
        used = f"access the {what} object" if what[0].isupper() else f"use the {what} field"
        super().__init__(
            f"This app is not approved to {used}. See {PROTECTED_DATA} for more details.",
            "ACCESS_DENIED",
            documentation=PROTECTED_DATA,
        )


class InternalServerError(ShopifyError):
    """Something went wrong at Shopify, whatever was asked."""

    def __init__(
        self, message: str = "Internal error. Looks like something went wrong on our end."
    ) -> None:
        super().__init__(message, "INTERNAL_SERVER_ERROR")


class ThrottledError(ShopifyError):
    """The bucket of the store holds less than the query asks for."""

    def __init__(self) -> None:
        super().__init__("Throttled", "THROTTLED", documentation=f"{DOCUMENTATION}/rate-limits")


class MaxCostExceededError(ShopifyError):
    """No single query may cost more than `maximum`."""

    def __init__(self, cost: int, maximum: int) -> None:
        super().__init__(
            f"Query cost is {cost}, which exceeds the single query max cost limit ({maximum}).",
            "MAX_COST_EXCEEDED",
            cost=cost,
            maxCost=maximum,
            documentation=f"{DOCUMENTATION}/rate-limits",
        )


def invalid_global_id(variable: str, type_name: str, value: object) -> ShopifyError:
    """A variable of type ID that holds no global id."""
    explanation = f"Invalid global id '{value}'"
    return ShopifyError(
        f"Variable ${variable} of type {type_name} was provided invalid value",
        "INVALID_VARIABLE",
        value=value,
        problems=[{"path": [], "explanation": explanation, "message": explanation}],
    )


_UNKNOWN_FIELD = re.compile(r"Cannot query field '(\w+)' on type '(\w+)'")
# graphql-core words this in two ways, depending on its version.
_MISSING_ARGUMENT = re.compile(
    r"(?:Field '(?:\w+\.)?(?P<field>\w+)' argument '(?P<argument>\w+)'"
    r"|Argument '(?:\w+\.)?(?P<field2>\w+)\((?P<argument2>\w+):\)') of type '.+' is required"
)


def as_shopify_reports(error: GraphQLError) -> dict[str, object]:
    """A validation error of graphql-core, worded and coded as Shopify does where we know how."""
    formatted: dict[str, object] = dict(error.formatted)
    if match := _UNKNOWN_FIELD.search(error.message):
        field, type_name = match.groups()
        formatted["message"] = f"Field '{field}' doesn't exist on type '{type_name}'"
        formatted["extensions"] = {
            "code": "undefinedField",
            "typeName": type_name,
            "fieldName": field,
        }
    elif match := _MISSING_ARGUMENT.search(error.message):
        field = match["field"] or match["field2"]
        argument = match["argument"] or match["argument2"]
        formatted["message"] = f"Field '{field}' is missing required arguments: {argument}"
        formatted["extensions"] = {
            "code": "missingRequiredArguments",
            "className": "Field",
            "name": field,
            "arguments": argument,
        }
    return formatted
