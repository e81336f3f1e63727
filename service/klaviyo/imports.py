"""Importing profiles into Klaviyo, and removing them from lists.

Both calls may be repeated: importing a profile that is on the list, or removing one that is not,
changes nothing.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import httpx

from service.destinations.interface import Person, Refusal, Result
from service.klaviyo.account import read_list_name
from service.klaviyo.client import (
    CONTENT_REFUSALS,
    Document,
    KlaviyoClient,
    KlaviyoError,
    KlaviyoUnavailableError,
    Problem,
    Resource,
)

T = TypeVar("T")

_IMPORTS = "/api/profile-bulk-import-jobs"
_MEMBERS = "/api/lists/{id}/relationships/profiles"
# The removal of a profile that Klaviyo does not have may be refused as not found.
_REMOVAL_REFUSALS = CONTENT_REFUSALS | {httpx.codes.NOT_FOUND}
_MEMBER_POINTER = re.compile(r"/data/(\d+)(?:/.*)?")
_POINTER = re.compile(r"/data/attributes/profiles/data/(\d+)(?:/.*)?")
_RELATIONSHIPS = "/data/relationships"
# A refusal that points at no profile is narrowed down by halves: four refused profiles in ten
# thousand take about a hundred calls. If it takes more, something else is wrong.
_MOST_TRIES = 120
_FIRST_LOOK_SECONDS = 0.2
_SLOWEST_LOOK_SECONDS = 5.0
_IMPORTED_WITHIN_SECONDS = 600.0
# A job that has just been accepted is not everywhere at once.
_FOUND_WITHIN_SECONDS = 60.0


def remove_profiles(
    client: KlaviyoClient, list_id: str, profile_ids: Sequence[str]
) -> list[Refusal[str]]:
    """Remove profiles from a list; returns those that Klaviyo did not remove, with the reason.

    Profiles that Klaviyo no longer has are on no list: no error. If a refusal points at no profile,
    both halves are tried; a profile that is refused alone is at fault unless all of several are.

    Raises:
        KlaviyoError: The removal was not accepted, for a reason that is not a profile's.
    """
    suspects: list[tuple[str, KlaviyoError]] = []
    waiting, has_worked, tries = [list(profile_ids)], False, 0
    while waiting:
        batch = waiting.pop()
        tries += 1
        body = {"data": [{"type": "profile", "id": each} for each in batch]}
        try:
            client.delete(_MEMBERS, f"/api/lists/{list_id}/relationships/profiles", body)
        except KlaviyoError as error:
            if tries > _MOST_TRIES or error.status not in _REMOVAL_REFUSALS:
                raise
            known = _without_unknown(error, batch)
            if len(known) < len(batch):
                waiting += [known] if known else []
            elif len(batch) > 1:
                waiting += halves(batch)
            else:
                suspects.append((batch[0], error))
        else:
            has_worked = True
    if suspects and not has_worked:
        is_unknown = all(error.status == httpx.codes.NOT_FOUND for _, error in suspects)
        if read_list_name(client, list_id) is None or not (is_unknown or len(profile_ids) == 1):
            raise suspects[0][1]
    return [
        Refusal(profile_id, error.code, error.detail)
        for profile_id, error in suspects
        if error.status != httpx.codes.NOT_FOUND
    ]


def halves(batch: list[T]) -> list[list[T]]:
    """Both halves, the first one last: a batch to be tried next is taken from the end."""
    middle = len(batch) // 2
    return [batch[middle:], batch[:middle]]


def _without_unknown(error: KlaviyoError, profile_ids: list[str]) -> list[str]:
    """The profiles that a refusal of their removal does not point at."""
    matches = (_MEMBER_POINTER.fullmatch(problem.pointer or "") for problem in error.problems)
    unknown = {int(match[1]) for match in matches if match is not None}
    return [each for place, each in enumerate(profile_ids) if place not in unknown]


@dataclass
class _Left:
    """What is left of an import: batches to try, and people who were refused alone."""

    waiting: list[list[Person]]
    suspects: list[tuple[Person, KlaviyoError]] = field(default_factory=list)
    # Ids of profiles for which the address is not enough.
    profile_ids: dict[str, str] = field(default_factory=dict)

    def people(self) -> list[Person]:
        """Everybody who certainly was not imported."""
        waiting = (person for batch in self.waiting for person in batch)
        return [*waiting, *(person for person, _ in self.suspects)]


def import_profiles(
    client: KlaviyoClient, people: Sequence[Person], list_id: str | None
) -> Iterator[Result[Person]]:
    """Import people, as many as one call takes; what Klaviyo did with them, as it is known.

    Klaviyo refuses a whole import for one profile. Profiles that the refusal points at are left
    out; if it points at none, both halves are tried. A profile that is refused alone is at fault
    only if others were accepted: otherwise the refusal is about something else. Before an error is
    raised, a result names the people that no call has sent.

    Raises:
        KlaviyoError: The import was not accepted, for a reason that is not a profile's.
    """
    left = _Left([list(people)])
    try:
        yield from _import(client, left, list_id, is_alone=len(people) == 1)
    except KlaviyoError:
        yield Result(unsent=left.people())
        raise


def _import(
    client: KlaviyoClient, left: _Left, list_id: str | None, *, is_alone: bool
) -> Iterator[Result[Person]]:
    has_worked, tries = is_alone, 0
    while left.waiting:
        batch = left.waiting.pop()
        tries += 1
        try:
            job = _start_import(client, batch, list_id, left.profile_ids)
        except KlaviyoUnavailableError:
            # Without an answer, the batch may be on its way.
            raise
        except KlaviyoError as error:
            if tries > _MOST_TRIES:
                left.waiting.append(batch)
                raise
            yield Result(refused=_narrow_down(error, batch, left))
        else:
            has_worked = True
            yield _finish_import(client, job, batch)
    if left.suspects and not has_worked:
        raise left.suspects[0][1]
    yield Result(refused=[Refusal(each, error.code, error.detail) for each, error in left.suspects])


def _narrow_down(error: KlaviyoError, batch: list[Person], left: _Left) -> list[Refusal[Person]]:
    """Decide what to try after a refusal; returns the people it points at.

    Raises:
        KlaviyoError: The refusal is not about a profile.
    """
    refusals = _pointed_at(error, batch)
    if duplicates := _duplicates(error, batch, left.profile_ids):
        left.profile_ids |= duplicates
        left.waiting.append(batch)
    elif refusals:
        if accepted := _without(batch, refusals):
            left.waiting.append(accepted)
        return refusals
    elif not _is_about_a_profile(error):
        left.waiting.append(batch)
        raise error
    elif len(batch) > 1:
        left.waiting += halves(batch)
    else:
        left.suspects.append((batch[0], error))
    return []


def profile_size(person: Person) -> int:
    """Bytes of a profile in an import, with the comma after it."""
    return len(_profile(person, {}).encode()) + 1


def _start_import(
    client: KlaviyoClient,
    people: Iterable[Person],
    list_id: str | None,
    profile_ids: Mapping[str, str],
) -> str:
    """Start an import; returns the id of its job."""
    profiles = ",".join(_profile(person, profile_ids) for person in people)
    lists: Document = {"lists": {"data": [{"type": "list", "id": list_id}]}}
    relationships = f',"relationships":{json.dumps(lists)}' if list_id else ""
    body = (
        '{"data":{"type":"profile-bulk-import-job",'
        f'"attributes":{{"profiles":{{"data":[{profiles}]}}}}{relationships}}}}}'
    )
    return str(client.post(_IMPORTS, _IMPORTS, body.encode())["data"]["id"])


def _profile(person: Person, profile_ids: Mapping[str, str]) -> str:
    """The resource as JSON; the properties are JSON already."""
    profile_id = profile_ids.get(person.email)
    identity = "" if profile_id is None else f'"id":{json.dumps(profile_id)},'
    properties = "" if person.properties is None else f',"properties":{person.properties}'
    attributes = f'{{"email":{json.dumps(person.email)}{properties}}}'
    return f'{{"type":"profile",{identity}"attributes":{attributes}}}'


def _finish_import(client: KlaviyoClient, job: str, people: Sequence[Person]) -> Result[Person]:
    finished = _await_import(client, job)["attributes"]
    failed = int(finished.get("failed_count") or 0)
    if finished["status"] == "cancelled":
        raise KlaviyoError("Klaviyo cancelled an import; the next sync repeats it.")
    if not failed:
        return Result(people)
    refusals = _read_refusals(client, job, people)
    # If Klaviyo does not say of everyone who failed, the next sync looks for the rest on the list.
    return Result(_without(people, refusals) if len(refusals) >= failed else [], refusals)


def _without(people: Sequence[Person], refusals: Sequence[Refusal[Person]]) -> list[Person]:
    refused = {refusal.refused.email for refusal in refusals}
    return [person for person in people if person.email not in refused]


def _await_import(client: KlaviyoClient, job: str) -> Resource:
    deadline = time.monotonic() + _IMPORTED_WITHIN_SECONDS
    pause = _FIRST_LOOK_SECONDS
    while True:
        found: Resource = _once_found(
            lambda: client.get(f"{_IMPORTS}/{{id}}", f"{_IMPORTS}/{job}")["data"]
        )
        if found["attributes"]["status"] in ("complete", "cancelled"):
            return found
        if time.monotonic() > deadline:
            raise KlaviyoError("Klaviyo has not finished an import in ten minutes.")
        time.sleep(pause)
        pause = min(pause * 2, _SLOWEST_LOOK_SECONDS)


def _once_found(read: Callable[[], T]) -> T:
    """Read something of a job that Klaviyo has accepted, and may not find at first.

    Raises:
        KlaviyoError: As the read does; 404 only after a minute.
    """
    deadline = time.monotonic() + _FOUND_WITHIN_SECONDS
    pause = _FIRST_LOOK_SECONDS
    while True:
        try:
            return read()
        except KlaviyoError as error:
            if error.status != httpx.codes.NOT_FOUND or time.monotonic() > deadline:
                raise
        time.sleep(pause)
        pause = min(pause * 2, _SLOWEST_LOOK_SECONDS)


def _read_refusals(
    client: KlaviyoClient, job: str, people: Sequence[Person]
) -> list[Refusal[Person]]:
    """Who failed inside a finished import: by the payload they came in, else by position."""
    known = {person.email: person for person in people}
    refusals: dict[str, Refusal[Person]] = {}
    path = f"{_IMPORTS}/{job}/import-errors"
    operation = f"{_IMPORTS}/{{id}}/import-errors"
    pages = _once_found(lambda: list(client.pages(operation, path, {"page[size]": 100})))
    for page in pages:
        for item in page:
            attributes = item["attributes"]
            person = known.get(_email_of(attributes.get("original_payload")) or "") or _at(
                people, (attributes.get("source") or {}).get("pointer")
            )
            if person is not None:
                code, detail = attributes.get("code") or "", attributes.get("detail") or ""
                refusals[person.email] = Refusal(person, code, detail)
    return list(refusals.values())


def _pointed_at(error: KlaviyoError, people: Sequence[Person]) -> list[Refusal[Person]]:
    """The people that a refusal points at; none if it is about something else."""
    if error.status not in CONTENT_REFUSALS - {httpx.codes.CONFLICT}:
        return []
    found = {
        person.email: Refusal(person, problem.code, problem.detail)
        for problem in error.problems
        if (person := _at(people, problem.pointer)) is not None
    }
    return list(found.values())


def _duplicates(
    error: KlaviyoError, people: Sequence[Person], profile_ids: Mapping[str, str]
) -> dict[str, str]:
    """Profile ids by address, from a 409 for an address of another profile; each address once."""
    return {
        person.email: problem.duplicate_profile_id
        for problem in error.problems
        if (person := _at(people, problem.pointer)) is not None
        and problem.duplicate_profile_id is not None
        and person.email not in profile_ids
    }


def _is_about_a_profile(error: KlaviyoError) -> bool:
    """Whether a refusal may be the fault of a profile, though it does not say of which.

    It is not if it is about the list or a parameter. Any other pointer, or none, may mean a
    profile: one to no profile of the import is of no use.
    """

    def is_about_the_call(problem: Problem) -> bool:
        return problem.parameter is not None or (problem.pointer or "").startswith(_RELATIONSHIPS)

    return error.status in CONTENT_REFUSALS and not any(map(is_about_the_call, error.problems))


def _at(people: Sequence[Person], pointer: str | None) -> Person | None:
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
