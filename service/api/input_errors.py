"""What is wrong with a request's input, in words for programs and for the forms of the admin UI."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError, WrapValidator
from pydantic_core import ErrorDetails, PydanticCustomError

_WHOLE_NUMBER = "This must be a whole number."
_NUMBER = "This must be a number."
_YES_OR_NO = "This must be true or false."
_TEXT = "This must be text."
_ID = "This is not a valid id."
_OBJECT = "This must be an object."

# By pydantic's type of the error; other types keep pydantic's own message.
_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "missing": "This is required.",
        "extra_forbidden": "There is no such field.",
        "string_type": _TEXT,
        "string_too_short": "This must have at least {min_length} characters.",
        "string_too_long": "This must have at most {max_length} characters.",
        "string_pattern_mismatch": "This contains characters that are not allowed.",
        "too_short": "This must have at least {min_length} entries.",
        "too_long": "This must have at most {max_length} entries.",
        "list_type": "This must be a list.",
        "greater_than_equal": "This must be {ge} or more.",
        "less_than_equal": "This must be {le} or less.",
        "int_type": _WHOLE_NUMBER,
        "int_parsing": _WHOLE_NUMBER,
        "int_parsing_size": _WHOLE_NUMBER,
        "int_from_float": _WHOLE_NUMBER,
        "greater_than": "This must be more than {gt}.",
        "less_than": "This must be less than {lt}.",
        "decimal_type": _NUMBER,
        "decimal_parsing": _NUMBER,
        "decimal_max_digits": "This must have at most {max_digits} digits.",
        "decimal_max_places": "This must have at most {decimal_places} decimal places.",
        "decimal_whole_digits": "This must have at most {whole_digits} digits before the point.",
        "finite_number": _NUMBER,
        "float_type": _NUMBER,
        "float_parsing": _NUMBER,
        "bool_type": _YES_OR_NO,
        "bool_parsing": _YES_OR_NO,
        "literal_error": "This must be {expected}.",
        "uuid_type": _ID,
        "uuid_parsing": _ID,
        "model_type": _OBJECT,
        "dict_type": _OBJECT,
    }
)


def field_errors(error: ValidationError) -> list[tuple[str, str]]:
    """The invalid fields of a request, each with what is wrong in one sentence.

    A field in a list is named ``tags.0``. The name is empty for the request as a whole.
    """
    return [
        (".".join(str(part) for part in each["loc"]), _explain(each))
        for each in error.errors(include_url=False)
    ]


def summarise(errors: list[tuple[str, str]]) -> str:
    """All errors in one sentence that names the fields."""
    return " ".join(f"{name}: {message}" if name else message for name, message in errors)


def explained(message: str) -> WrapValidator:
    """Annotate a type with what to say about a value that does not fit it."""

    def check(value: Any, validate: Any) -> Any:
        try:
            return validate(value)
        except ValidationError:
            raise PydanticCustomError("explained", "{message}", {"message": message}) from None

    return WrapValidator(check)


def _explain(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if error["type"] == "value_error":
        return str(context["error"])
    if error["type"] in ("string_too_short", "too_short") and context["min_length"] == 1:
        return "This must not be empty."
    words = _WORDS.get(error["type"])
    return words.format(**context) if words else error["msg"]
