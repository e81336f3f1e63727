"""``/api/admin/creators``: creators who receive samples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from uuid import UUID

import psycopg
from apiflask import APIBlueprint
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from service.api.access import fetch_one, tenant_id, transaction
from service.api.audit_log import record
from service.api.input_errors import explained
from service.api.paging import ONE_ROW, Keyset, SearchQuery, Text
from service.api.problems import NotFoundError
from service.api.schemas import (
    WITHOUT_NUL,
    Creator,
    CreatorsPage,
    Line,
    Platform,
    RequestModel,
    ResponseModel,
    Run,
)
from service.core.db import Connection
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.queue.enqueue import enqueue

blueprint = APIBlueprint("creators", __name__, tag="Creators")

_BY_NAME = Keyset("creators", sort_name=Text, creator_id=UUID)


_HANDLE_WORDS = "A handle is one word without @ and /."
_EMAIL_WORDS = "An e-mail address looks like name@example.com."
_URL_WORDS = "A profile's address begins with https://."
_KNOWN_BY_WORDS = "A creator needs a handle, a name or an e-mail address."


def _without_at(handle: Any) -> Any:
    return handle.strip().removeprefix("@") if isinstance(handle, str) else handle


Handle = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100, pattern=r"^[^@\s/\x00]+$"),
    BeforeValidator(_without_at),
    AfterValidator(str.lower),
    explained(_HANDLE_WORDS),
]
Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=255, pattern=r"^[^@\s\x00]+@[^@\s\x00]+$"),
    AfterValidator(str.lower),
    explained(_EMAIL_WORDS),
]
ProfileUrl = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=500, pattern=r"^https?://[^\s\x00]+$"),
    explained(_URL_WORDS),
]
Notes = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=5000, pattern=WITHOUT_NUL)
]


class CreatorFields(RequestModel):
    """Fields of a creator. In a change, omitted fields stay the same and null clears a field."""

    handle: Handle | None = Field(None, description="Handle; a leading @ is removed.")
    platform: Platform = "other"
    name: Line | None = None
    email: Email | None = None
    profile_url: ProfileUrl | None = None
    notes: Notes | None = None


class NewCreator(CreatorFields):
    """A new creator. A handle, name or e-mail address is required."""

    @model_validator(mode="after")
    def _is_known_by_something(self) -> NewCreator:
        if self.handle is None and self.name is None and self.email is None:
            raise InvalidInputError(_KNOWN_BY_WORDS, field="handle")
        return self


class CreatorMerge(RequestModel):
    """The creator to merge into this one."""

    creator_id: UUID = Field(description="The creator to merge and delete.")


class MergedCreator(ResponseModel):
    """The merged creator, and the build that updates the figures."""

    creator: Creator
    run: Run


@blueprint.get("/api/admin/creators")
@blueprint.input(SearchQuery, location="query", arg_name="page")
@blueprint.output(CreatorsPage)
def list_creators(page: SearchQuery) -> dict[str, Any]:
    """List creators, sorted by handle or name, with their samples and own orders.

    `q` searches handles, names and e-mail addresses.
    """
    with transaction() as conn:
        return read_creators(conn, page)


def read_creators(conn: Connection, page: SearchQuery) -> dict[str, Any]:
    """A page of the tenant's creators, and the cursor of the next page."""
    statement = query("api.list_creators")
    return _BY_NAME.read_page(conn, page, statement, **_named(None), pattern=page.pattern)


@blueprint.post("/api/admin/creators")
@blueprint.input(NewCreator, arg_name="creator")
@blueprint.output(Creator, status_code=201)
def add_creator(creator: NewCreator) -> dict[str, Any]:
    """Create a creator. The next build finds their samples."""
    with transaction() as conn:
        with _explained(conn):
            added = fetch_one(conn, query("api.add_creator"), **creator.model_dump())
        # No values: they are a person's.
        record(conn, "creator.added", added["creator_id"])
        return read_creator(conn, added["creator_id"])


@blueprint.get("/api/admin/creators/<uuid:creator_id>")
@blueprint.output(Creator)
def show_creator(creator_id: UUID) -> dict[str, Any]:
    """Get a creator. `GET /api/admin/samples?creator_id=…` lists their samples."""
    with transaction() as conn:
        return read_creator(conn, creator_id)


@blueprint.patch("/api/admin/creators/<uuid:creator_id>")
@blueprint.input(CreatorFields, arg_name="change")
@blueprint.output(Creator)
def change_creator(creator_id: UUID, change: CreatorFields) -> dict[str, Any]:
    """Change a creator."""
    with transaction() as conn:
        current = _lock(conn, creator_id)
        given = change.model_dump(include=change.model_fields_set)
        changed = {"fields": sorted(given)}
        record(conn, "creator.changed", creator_id, after=changed)
        with _explained(conn):
            conn.execute(query("api.change_creator"), {**_named(creator_id), **current, **given})
        return read_creator(conn, creator_id)


@blueprint.delete("/api/admin/creators/<uuid:creator_id>")
@blueprint.output({}, status_code=204)
def delete_creator(creator_id: UUID) -> str:
    """Delete a creator and their links to samples. The samples stay."""
    with transaction() as conn:
        record(conn, "creator.deleted", creator_id)
        if conn.execute(query("api.delete_creator"), _named(creator_id)).fetchone() is None:
            raise _missing()
    return ""


@blueprint.post("/api/admin/creators/<uuid:creator_id>/merge")
@blueprint.input(CreatorMerge, arg_name="merge")
@blueprint.output(MergedCreator, status_code=202)
def merge_creators(creator_id: UUID, merge: CreatorMerge) -> dict[str, Any]:
    """Merge another creator into this one, and start a build.

    Empty fields are filled from the other creator. Links to samples are moved, and the other's
    handle and e-mail address find this creator from now on.
    """
    if merge.creator_id == creator_id:
        raise InvalidInputError("A creator cannot be merged with itself.", field="creator_id")
    parameters = {**_named(merge.creator_id), "into_id": creator_id}
    merged = {"merged": merge.creator_id}
    with transaction() as conn:
        record(conn, "creator.merged", creator_id, after=merged)
        # Always in the same order, so that two merges do not deadlock.
        for either in sorted((creator_id, merge.creator_id)):
            _lock(conn, either)
        conn.execute(query("api.merge_creator_links"), parameters)
        conn.execute(query("api.merge_creator_aliases"), parameters)
        conn.execute(query("api.merge_creators"), parameters)
        run = enqueue(conn, tenant_id(), "build", behind_running=True)
        return {"creator": read_creator(conn, creator_id), "run": run}


def _named(creator_id: UUID | None) -> dict[str, Any]:
    return {"tenant_id": tenant_id(), "creator_id": creator_id}


def read_creator(conn: Connection, creator_id: UUID) -> dict[str, Any]:
    """A creator of the tenant.

    Raises:
        NotFoundError: There is no such creator.
    """
    found = _BY_NAME.read_page(
        conn, ONE_ROW, query("api.list_creators"), **_named(creator_id), pattern=None
    )
    if not found["data"]:
        raise _missing()
    return dict(found["data"][0])


def _lock(conn: Connection, creator_id: UUID) -> dict[str, Any]:
    """The creator's fields, locked until the transaction ends."""
    row = conn.execute(query("api.lock_creator"), _named(creator_id)).fetchone()
    if row is None:
        raise _missing()
    return row


def _missing() -> NotFoundError:
    return NotFoundError("There is no such creator.")


# The field and the words for each constraint.
_CHECKS = {
    "creators_handle_check": ("handle", _HANDLE_WORDS),
    "creators_email_check": ("email", _EMAIL_WORDS),
    "creators_profile_url_check": ("profile_url", _URL_WORDS),
    "creators_known_by_check": ("handle", _KNOWN_BY_WORDS),
}


@contextmanager
def _explained(conn: Connection) -> Iterator[None]:
    """Explain constraint violations. The transaction can continue after one."""
    try:
        with conn.transaction():
            yield
    except psycopg.errors.UniqueViolation as error:
        field = "email" if "email" in (error.diag.constraint_name or "") else "handle"
        what = "e-mail address" if field == "email" else "handle"
        raise InvalidInputError(
            f"Another creator has this {what}.",
            advice="If they are the same person, merge the two creators.",
            field=field,
        ) from None
    except psycopg.errors.CheckViolation as error:
        constraint = error.diag.constraint_name or ""
        field, message = _CHECKS.get(constraint, ("", "A value is not valid."))
        raise InvalidInputError(message, field=field) from None
