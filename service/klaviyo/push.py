"""Carrying out a plan: batches to Klaviyo, and into the ledger what Klaviyo has accepted.

Every call may be repeated: importing a profile that is on the list, or removing one that is not,
changes nothing. So a run that dies between a call and its ledger entry is simply done over.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeVar
from uuid import UUID

import httpx
from psycopg import sql
from psycopg.types.json import Jsonb

from service.core.db import Connection, Pool, tenant_transaction
from service.core.queries import query
from service.core.spool import Row
from service.destinations.configs import lock_config
from service.klaviyo.client import (
    Document,
    KlaviyoClient,
    KlaviyoError,
    Problem,
    Resource,
)
from service.queue.progress import Progress

T = TypeVar("T")

_IMPORTS = "/api/profile-bulk-import-jobs"
_MEMBERS = "/api/lists/{id}/relationships/profiles"
_PROFILES = "/data/attributes/profiles"
_MEMBER_POINTER = re.compile(r"/data/(\d+)(?:/.*)?")
_POINTER = re.compile(rf"{_PROFILES}/data/(\d+)(?:/.*)?")
# A refusal that points at nobody is looked for by halves: four such people in ten thousand take
# about a hundred calls. More than that, and something else is wrong.
_MOST_TRIES = 120
_FIRST_LOOK_SECONDS = 0.2
_SLOWEST_LOOK_SECONDS = 5.0
_IMPORTED_WITHIN_SECONDS = 600.0
_TOO_LARGE = "profile_too_large"


@dataclass(frozen=True)
class Limits:
    """How much goes into one call; the defaults are Klaviyo's own limits."""

    import_profiles: int = 10_000
    # 5 MB, less some room for what surrounds the profiles.
    import_bytes: int = 4_900_000
    profile_bytes: int = 100_000
    remove_profiles: int = 1_000


@dataclass(frozen=True)
class Target:
    """The list of one configuration, and how to reach it."""

    client: KlaviyoClient
    pool: Pool
    tenant_id: UUID
    config_id: UUID
    list_id: str


@dataclass(frozen=True)
class _Person:
    """Somebody to import: to put on the list, or to tell about anew."""

    email: str
    customer_id: str | None
    properties: str | None
    properties_hash: str | None
    purpose: Literal["add", "update", "refresh"]
    # Where the address alone does not tell Klaviyo whose profile is meant.
    profile_id: str | None = None

    @cached_property
    def profile(self) -> str:
        """The resource, as JSON."""
        identity = "" if self.profile_id is None else f'"id":{json.dumps(self.profile_id)},'
        properties = "" if self.properties is None else f',"properties":{self.properties}'
        attributes = f'{{"email":{json.dumps(self.email)}{properties}}}'
        return f'{{"type":"profile",{identity}"attributes":{attributes}}}'

    @cached_property
    def size(self) -> int:
        """Bytes of the resource."""
        return len(self.profile.encode())


@dataclass(frozen=True)
class _Refusal:
    """A person Klaviyo did not take, with its reason."""

    person: _Person
    code: str
    detail: str


def remove(target: Target, removals: Iterable[Row], limits: Limits, progress: Progress) -> None:
    """Take profiles off the list, then out of the ledger; rows are address, customer, profile id.

    Raises:
        KlaviyoError: A batch was not accepted; it is marked pending and done over next time.
        NoLongerWantedError: The configuration has been paused or given up meanwhile.
    """
    for batch in _batches(removals, limits.remove_profiles):
        emails, profile_ids = [row[0] for row in batch], [str(row[2]) for row in batch]
        # Were these still called synced after a crash, those back in the segment by the next sync
        # would seem to have been taken off by a person.
        _announce(
            target, query("destinations.mark_removing"), emails=emails, profile_ids=profile_ids
        )
        _take_off(target, profile_ids)
        _record(
            target,
            query("destinations.delete_removed"),
            query("destinations.consume_confirmed"),
            emails=emails,
            removals=len(batch),
        )
        progress.count(removed=len(batch))
        progress.advance(len(batch))


def send(
    target: Target,
    additions: Iterable[Row],
    updates: Iterable[Row],
    limits: Limits,
    progress: Progress,
) -> None:
    """Put addresses on the list, and tell anew about people on it, in as few imports as can be.

    Rows are address, customer id, profile id, properties as JSON, and their hash. Whoever Klaviyo
    refuses is recorded with its reason; the rest of their batch goes on. The two do not share an
    import, because it would put back on the list whom a person has taken off since it was read.

    Raises:
        KlaviyoError: A batch was not accepted; it is marked pending and done over next time.
        NoLongerWantedError: The configuration has been paused or given up meanwhile.
    """
    _import_all(target, _people(additions, "add"), limits, progress)
    _import_all(target, _people(updates, "update"), limits, progress)


def refresh(target: Target, stale: Iterable[Row], limits: Limits, progress: Progress) -> None:
    """Tell anew about people who are on no list any more; rows as of :func:`send`.

    Raises:
        KlaviyoError: A batch was not accepted; it is done over next time.
    """
    _import_all(target, _people(stale, "refresh"), limits, progress)


def _take_off(target: Target, profile_ids: list[str]) -> None:
    """One removal. Whom Klaviyo does not know any more is on no list, and no reason to fail."""
    left = profile_ids
    while left:
        body = {"data": [{"type": "profile", "id": each} for each in left]}
        try:
            target.client.delete(
                _MEMBERS, f"/api/lists/{target.list_id}/relationships/profiles", body
            )
        except KlaviyoError as error:
            known = _without_unknown(error, left)
            if len(known) == len(left):
                raise
            left = known
        else:
            return


def _without_unknown(error: KlaviyoError, profile_ids: list[str]) -> list[str]:
    """The profiles that a refusal of their removal does not point at."""
    if error.status not in (httpx.codes.BAD_REQUEST, httpx.codes.NOT_FOUND):
        return profile_ids
    matches = (_MEMBER_POINTER.fullmatch(problem.pointer or "") for problem in error.problems)
    unknown = {int(match[1]) for match in matches if match is not None}
    return [each for place, each in enumerate(profile_ids) if place not in unknown]


# -- imports ------------------------------------------------------------------------------------


def _import_all(
    target: Target, people: Iterable[_Person], limits: Limits, progress: Progress
) -> None:
    for batch in _batches(
        people, limits.import_profiles, limits.import_bytes, lambda person: person.size + 1
    ):
        _mark_pending(target, batch)
        fitting = [person for person in batch if person.size <= limits.profile_bytes]
        too_large = [
            _Refusal(person, _TOO_LARGE, f"A profile may take {limits.profile_bytes} bytes.")
            for person in batch
            if person.size > limits.profile_bytes
        ]
        _reject(target, too_large, progress)
        _accept(target, _import(target, fitting, progress), progress)
        progress.advance(len(batch))


def _import(target: Target, people: list[_Person], progress: Progress) -> list[_Person]:
    """Import people, who go into one call; returns who Klaviyo has taken for certain.

    One unacceptable profile has a whole import refused. Whom the refusal points at is left out;
    one that points at nobody has both halves tried. Whoever is refused alone is at fault only if
    others were not: otherwise it is about something else.
    """
    taken: list[_Person] = []
    suspects: list[tuple[_Person, KlaviyoError]] = []
    waiting, has_worked, tries = [people] if people else [], False, 0
    while waiting:
        batch = waiting.pop()
        tries += 1
        try:
            job = _start_import(target, batch)
        except KlaviyoError as error:
            refusals = _pointed_at(error, batch)
            known = _known_by_id(error, batch)
            if tries > _MOST_TRIES or not (refusals or known or _is_about_somebody(error)):
                raise
            if known:
                waiting.append([known.get(person.email, person) for person in batch])
            elif refusals:
                _reject(target, refusals, progress)
                waiting += _without(batch, refusals)
            elif len(batch) > 1:
                middle = len(batch) // 2
                waiting += [batch[middle:], batch[:middle]]
            else:
                suspects.append((batch[0], error))
        else:
            has_worked = True
            taken += _finish_import(target, job, batch, progress)
    if suspects and not has_worked and len(people) > 1:
        raise suspects[0][1]
    _reject(
        target, [_Refusal(person, error.code, error.detail) for person, error in suspects], progress
    )
    return taken


def _start_import(target: Target, people: Sequence[_Person]) -> str:
    """Start an import; only whoever is to come onto the list brings the list along."""
    lists = [target.list_id] if people[0].purpose == "add" else []
    answer = target.client.post(_IMPORTS, _IMPORTS, _import_body(lists, people))
    return str(answer["data"]["id"])


def _finish_import(
    target: Target, job: str, people: Sequence[_Person], progress: Progress
) -> list[_Person]:
    finished = _await_import(target.client, job)
    failed = int(finished["attributes"].get("failed_count") or 0)
    if finished["attributes"]["status"] == "cancelled":
        raise KlaviyoError("Klaviyo cancelled an import; the next sync repeats it.")
    if not failed:
        return list(people)
    refusals = _read_refusals(target.client, job, people)
    _reject(target, refusals, progress)
    if len(refusals) < failed:
        # Some failed and we cannot tell which: the next sync finds on the list those that did not.
        return []
    return next(iter(_without(people, refusals)), [])


def _without(people: Sequence[_Person], refusals: Sequence[_Refusal]) -> list[list[_Person]]:
    """Who is left, as a batch; none when nobody is."""
    refused = {refusal.person.email for refusal in refusals}
    left = [person for person in people if person.email not in refused]
    return [left] if left else []


def _await_import(client: KlaviyoClient, job: str) -> Resource:
    give_up_at = time.monotonic() + _IMPORTED_WITHIN_SECONDS
    pause = _FIRST_LOOK_SECONDS
    while True:
        found: Resource = client.get(f"{_IMPORTS}/{{id}}", f"{_IMPORTS}/{job}")["data"]
        if found["attributes"]["status"] in ("complete", "cancelled"):
            return found
        if time.monotonic() > give_up_at:
            raise KlaviyoError("Klaviyo has not finished an import in ten minutes.")
        time.sleep(pause)
        pause = min(pause * 2, _SLOWEST_LOOK_SECONDS)


def _read_refusals(client: KlaviyoClient, job: str, people: Sequence[_Person]) -> list[_Refusal]:
    """Who failed inside a finished import: by the payload they came in, else by position."""
    known = {person.email: person for person in people}
    refusals: dict[str, _Refusal] = {}
    path = f"{_IMPORTS}/{job}/import-errors"
    for page in client.pages(f"{_IMPORTS}/{{id}}/import-errors", path, {"page[size]": 100}):
        for item in page:
            attributes = item["attributes"]
            person = known.get(_email_of(attributes.get("original_payload")) or "") or _at(
                people, (attributes.get("source") or {}).get("pointer")
            )
            if person is not None:
                refusals[person.email] = _Refusal(person, attributes["code"], attributes["detail"])
    return list(refusals.values())


def _pointed_at(error: KlaviyoError, people: Sequence[_Person]) -> list[_Refusal]:
    """The people that a 400 points at; none when it is about something else."""
    if error.status != httpx.codes.BAD_REQUEST:
        return []
    found = {
        person.email: _Refusal(person, problem.code, problem.detail)
        for problem in error.problems
        if (person := _at(people, problem.pointer)) is not None
    }
    return list(found.values())


def _known_by_id(error: KlaviyoError, people: Sequence[_Person]) -> dict[str, _Person]:
    """Whom a 409 says to be another profile's, with that profile's id; once for each."""
    found = ((_at(people, each.pointer), each.duplicate_profile_id) for each in error.problems)
    return {
        person.email: replace(person, profile_id=profile_id)
        for person, profile_id in found
        if person is not None and profile_id is not None and person.profile_id is None
    }


def _is_about_somebody(error: KlaviyoError) -> bool:
    """Whether a refusal may be some profile's fault, though it does not say whose."""

    def is_vague(problem: Problem) -> bool:
        pointer = (problem.pointer or "").rstrip("/")
        return pointer.startswith(_PROFILES) or pointer in ("", "/data", "/data/attributes")

    return error.status == httpx.codes.BAD_REQUEST and all(map(is_vague, error.problems))


def _at(people: Sequence[_Person], pointer: str | None) -> _Person | None:
    match = _POINTER.fullmatch(pointer or "")
    if match is None or int(match[1]) >= len(people):
        return None
    return people[int(match[1])]


def _email_of(payload: object) -> str | None:
    """The address in an import error's payload: the profile's attributes, or the profile."""
    if not isinstance(payload, dict):
        return None
    attributes = payload.get("attributes")
    email = (attributes if isinstance(attributes, dict) else payload).get("email")
    return email.strip().lower() if isinstance(email, str) else None


def _import_body(list_ids: Sequence[str], people: Iterable[_Person]) -> bytes:
    """The body of an import, of profiles that are JSON already."""
    profiles = ",".join(person.profile for person in people)
    lists: Document = {"lists": {"data": [{"type": "list", "id": each} for each in list_ids]}}
    relationships = f',"relationships":{json.dumps(lists)}' if list_ids else ""
    return (
        '{"data":{"type":"profile-bulk-import-job",'
        f'"attributes":{{"profiles":{{"data":[{profiles}]}}}}{relationships}}}}}'
    ).encode()


# -- what becomes of each -----------------------------------------------------------------------


def _mark_pending(target: Target, batch: Sequence[_Person]) -> None:
    new = [person for person in batch if person.purpose == "add"]
    if new:
        _announce(
            target,
            query("destinations.mark_pending"),
            emails=[person.email for person in new],
            customer_ids=[person.customer_id for person in new],
        )


def _accept(target: Target, people: Sequence[_Person], progress: Progress) -> None:
    """Klaviyo has these: on the list, and knowing what was sent."""
    new = [person.email for person in people if person.purpose == "add"]
    known = [person.email for person in people if person.purpose == "update"]
    with tenant_transaction(target.pool, target.tenant_id) as conn:
        parameters = {"tenant_id": target.tenant_id, "config_id": target.config_id}
        conn.execute(query("destinations.mark_synced"), {**parameters, "emails": new})
        conn.execute(query("destinations.mark_updated"), {**parameters, "emails": known})
        conn.execute(query("destinations.record_sent"), {**parameters, **_sent(people)})
    progress.count(added=len(new))
    if len(people) > len(new):
        progress.count(updated=len(people) - len(new))


def _reject(target: Target, refusals: Sequence[_Refusal], progress: Progress) -> None:
    """Klaviyo did not take these: not again, until they would send something else.

    Who was on the list already still is, so only who was to come onto it is rejected.
    """
    if not refusals:
        return
    rows = [
        {
            "email": refusal.person.email,
            "code": refusal.code,
            "detail": refusal.detail,
            "properties_hash": refusal.person.properties_hash,
            "is_new": refusal.person.purpose == "add",
        }
        for refusal in refusals
    ]
    known = [refusal.person for refusal in refusals if refusal.person.purpose != "add"]
    with tenant_transaction(target.pool, target.tenant_id) as conn:
        parameters = {"tenant_id": target.tenant_id, "config_id": target.config_id}
        conn.execute(query("destinations.mark_rejected"), {**parameters, "refusals": Jsonb(rows)})
        conn.execute(query("destinations.record_sent"), {**parameters, **_sent(known)})
    progress.count(rejected=len(refusals))


def _sent(people: Sequence[_Person]) -> dict[str, list[str]]:
    told = [(p.email, p.properties_hash) for p in people if p.properties_hash is not None]
    return {
        "emails": [email for email, _ in told],
        "properties_hashes": [each for _, each in told],
    }


def _announce(target: Target, statement: sql.SQL, **parameters: object) -> None:
    """Write down what is about to be done, if that is still wanted."""
    with tenant_transaction(target.pool, target.tenant_id) as conn:
        lock_config(conn, target.tenant_id, target.config_id)
        _execute(conn, target, statement, parameters)


def _record(target: Target, *statements: sql.SQL, **parameters: object) -> None:
    with tenant_transaction(target.pool, target.tenant_id) as conn:
        for statement in statements:
            _execute(conn, target, statement, parameters)


def _execute(
    conn: Connection, target: Target, statement: sql.SQL, parameters: Mapping[str, object]
) -> None:
    conn.execute(
        statement,
        {"tenant_id": target.tenant_id, "config_id": target.config_id, **parameters},
    )


# -- batches ------------------------------------------------------------------------------------


def _people(rows: Iterable[Row], purpose: Literal["add", "update", "refresh"]) -> Iterator[_Person]:
    for email, customer_id, _, properties, properties_hash in rows:
        yield _Person(str(email), customer_id, properties, properties_hash, purpose)


def _batches(
    rows: Iterable[T],
    most_rows: int,
    most_bytes: int | None = None,
    size_of: Callable[[T], int] = lambda _: 0,
) -> Iterator[list[T]]:
    """Rows in order, in lists that stay under both limits."""
    batch: list[T] = []
    size = 0
    for row in rows:
        row_size = size_of(row)
        is_full = len(batch) == most_rows or (
            most_bytes is not None and size + row_size > most_bytes
        )
        if batch and is_full:
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += row_size
    if batch:
        yield batch
