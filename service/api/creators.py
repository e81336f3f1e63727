"""``/api/admin/creators``: the people samples are sent to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from uuid import UUID

import psycopg
from apiflask import APIBlueprint
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from service.api.access import tenant_id, transaction
from service.api.paging import CREATORS, WITHOUT_NUL, SearchQuery, decode_cursor, split_page
from service.api.problems import NotFoundError
from service.api.schemas import Creator, CreatorsPage, Platform, RequestModel, ResponseModel, Run
from service.core.db import Connection, one
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.queue.enqueue import enqueue

blueprint = APIBlueprint("creators", __name__, tag="Creators")


def _without_at(handle: Any) -> Any:
    return handle.strip().removeprefix("@") if isinstance(handle, str) else handle


def _lower(text: str) -> str:
    return text.lower()


Line = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=255, pattern=WITHOUT_NUL),
]
Handle = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100, pattern=r"^[^@\s/\x00]+$"),
    BeforeValidator(_without_at),
    AfterValidator(_lower),
]
Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=255, pattern=r"^[^@\s\x00]+@[^@\s\x00]+$"),
    AfterValidator(_lower),
]
ProfileUrl = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=500, pattern=r"^https?://[^\s\x00]+$"),
]
Notes = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=5000, pattern=WITHOUT_NUL)
]


class CreatorFields(RequestModel):
    """What is known of a creator; on a change, what is left out stays and null clears."""

    handle: Handle | None = Field(None, description="Name on the platform; a leading @ is dropped.")
    platform: Platform = "other"
    name: Line | None = None
    email: Email | None = None
    profile_url: ProfileUrl | None = None
    notes: Notes | None = None


class NewCreator(CreatorFields):
    """A new creator, who needs a handle, a name or an address."""

    @model_validator(mode="after")
    def _is_known_by_something(self) -> NewCreator:
        if self.handle is None and self.name is None and self.email is None:
            raise ValueError("a creator needs a handle, a name or an email")
        return self


class CreatorMerge(RequestModel):
    """Who is the same person."""

    creator_id: UUID = Field(description="The creator who goes; all that was theirs stays.")


class MergedCreator(ResponseModel):
    """The creator who stays, and the build that finds their samples by both names."""

    creator: Creator
    run: Run


@blueprint.get("/api/admin/creators")
@blueprint.input(SearchQuery, location="query", arg_name="page")
@blueprint.output(CreatorsPage)
def list_creators(page: SearchQuery) -> dict[str, Any]:
    """Creators by handle, else by name, with what was sent to them as of the last build.

    `q` finds creators whose handle, name or address contains the text.
    """
    after = decode_cursor(CREATORS, page.cursor)
    with transaction() as conn:
        rows = _select(
            conn,
            pattern=page.pattern,
            after_name=after[1] if after else None,
            after_id=after[2] if after else None,
            row_limit=page.limit + 1,
        )
    data, next_cursor = split_page(rows, page.limit, "creators", "sort_name", "creator_id")
    return {"data": data, "next_cursor": next_cursor}


@blueprint.post("/api/admin/creators")
@blueprint.input(NewCreator, arg_name="creator")
@blueprint.output(Creator, status_code=201)
def add_creator(creator: NewCreator) -> dict[str, Any]:
    """Add a creator. The next build links the samples that lead to them."""
    with transaction() as conn:
        with _explained(conn):
            added = one(
                conn.execute(
                    query("api.add_creator"),
                    {"tenant_id": tenant_id(), **creator.model_dump()},
                ).fetchone()
            )
        return _read(conn, added["creator_id"])


@blueprint.get("/api/admin/creators/<uuid:creator_id>")
@blueprint.output(Creator)
def show_creator(creator_id: UUID) -> dict[str, Any]:
    """One creator; `GET /api/admin/samples?creator_id=…` lists their samples."""
    with transaction() as conn:
        return _read(conn, creator_id)


@blueprint.patch("/api/admin/creators/<uuid:creator_id>")
@blueprint.input(CreatorFields, arg_name="change")
@blueprint.output(Creator)
def change_creator(creator_id: UUID, change: CreatorFields) -> dict[str, Any]:
    """Change what is given; null clears it."""
    parameters = {"tenant_id": tenant_id(), "creator_id": creator_id}
    with transaction() as conn:
        former = conn.execute(query("api.find_creator"), parameters).fetchone()
        if former is None:
            raise _missing()
        given = change.model_dump(include=change.model_fields_set)
        with _explained(conn):
            conn.execute(query("api.change_creator"), {**parameters, **former, **given})
        return _read(conn, creator_id)


@blueprint.delete("/api/admin/creators/<uuid:creator_id>")
@blueprint.output({}, status_code=204)
def delete_creator(creator_id: UUID) -> str:
    """Delete a creator and the links to them; their samples stay."""
    with transaction() as conn:
        gone = conn.execute(
            query("api.delete_creator"), {"tenant_id": tenant_id(), "creator_id": creator_id}
        ).fetchone()
    if gone is None:
        raise _missing()
    return ""


@blueprint.post("/api/admin/creators/<uuid:creator_id>/merge")
@blueprint.input(CreatorMerge, arg_name="merge")
@blueprint.output(MergedCreator, status_code=202)
def merge_creators(creator_id: UUID, merge: CreatorMerge) -> dict[str, Any]:
    """Make another creator one with this one, and rebuild this tenant's samples.

    This one keeps what it has and takes the rest from the other; links go over, and the other's
    handle and address lead here from now on.
    """
    if merge.creator_id == creator_id:
        raise InvalidInputError("A creator cannot be merged with itself.")
    parameters = {
        "tenant_id": tenant_id(),
        "creator_id": merge.creator_id,
        "into_id": creator_id,
    }
    with transaction() as conn:
        for one_of_both in sorted((creator_id, merge.creator_id)):
            _read(conn, one_of_both)
            conn.execute(
                query("api.find_creator"),
                {"tenant_id": tenant_id(), "creator_id": one_of_both},
            )
        conn.execute(query("api.merge_creator_links"), parameters)
        conn.execute(query("api.merge_creator_aliases"), parameters)
        conn.execute(query("api.merge_creators"), parameters)
        run = enqueue(conn, tenant_id(), "build", behind_running=True)
        return {"creator": _read(conn, creator_id), "run": run}


def _select(conn: Connection, **parameters: Any) -> list[dict[str, Any]]:
    unset = dict.fromkeys(("creator_id", "pattern", "after_name", "after_id"))
    return conn.execute(
        query("api.list_creators"), {"tenant_id": tenant_id(), **unset, **parameters}
    ).fetchall()


def _read(conn: Connection, creator_id: UUID) -> dict[str, Any]:
    found = _select(conn, creator_id=creator_id, row_limit=1)
    if not found:
        raise _missing()
    return found[0]


def _missing() -> NotFoundError:
    return NotFoundError("There is no such creator.")


_IMPOSSIBLE = {
    "creators_handle_check": "A handle is one word without @ and /.",
    "creators_email_check": "An e-mail address looks like name@example.com.",
    "creators_profile_url_check": "A profile's address begins with https://.",
    "creators_known_by_check": "A creator needs a handle, a name or an e-mail address.",
}


@contextmanager
def _explained(conn: Connection) -> Iterator[None]:
    """Say what is wrong with a creator that the table refuses; the transaction goes on."""
    try:
        with conn.transaction():
            yield
    except psycopg.errors.UniqueViolation as error:
        what = "e-mail address" if "email" in (error.diag.constraint_name or "") else "handle"
        raise InvalidInputError(
            f"There is a creator with this {what} already.",
            advice="If they are the same person, change that one or merge the two.",
        ) from None
    except psycopg.errors.CheckViolation as error:
        raise InvalidInputError(
            _IMPOSSIBLE.get(error.diag.constraint_name or "", "A value is not possible.")
        ) from None
