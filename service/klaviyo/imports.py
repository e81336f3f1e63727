"""Importing profiles into Klaviyo, and removing them from lists.

Both calls may be repeated: importing a profile that is on the list, or removing one that is not,
changes nothing.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import httpx

from service.destinations.interface import Person, Refusal, Result
from service.klaviyo.client import Document, KlaviyoClient, KlaviyoError, Problem, Resource

_IMPORTS = "/api/profile-bulk-import-jobs"
_MEMBERS = "/api/lists/{id}/relationships/profiles"
_PROFILES = "/data/attributes/profiles"
_MEMBER_POINTER = re.compile(r"/data/(\d+)(?:/.*)?")
_POINTER = re.compile(rf"{_PROFILES}/data/(\d+)(?:/.*)?")
# A refusal that points at no profile is narrowed down by halves: four refused profiles in ten
# thousand take about a hundred calls. If it takes more, something else is wrong.
_MOST_TRIES = 120
_FIRST_LOOK_SECONDS = 0.2
_SLOWEST_LOOK_SECONDS = 5.0
_IMPORTED_WITHIN_SECONDS = 600.0


def remove_profiles(client: KlaviyoClient, list_id: str, profile_ids: Sequence[str]) -> None:
    """Remove profiles from a list. Profiles that Klaviyo no longer has are on no list: no error.

    Raises:
        KlaviyoError: The removal was not accepted.
    """
    left = list(profile_ids)
    while left:
        body = {"data": [{"type": "profile", "id": each} for each in left]}
        try:
            client.delete(_MEMBERS, f"/api/lists/{list_id}/relationships/profiles", body)
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


def import_profiles(
    client: KlaviyoClient, people: Sequence[Person], list_id: str | None
) -> Iterator[Result[Person]]:
    """Import people, as many as one call takes; what Klaviyo did with them, as it is known.

    Klaviyo refuses a whole import for one profile. Profiles that the refusal points at are left
    out; if it points at none, both halves are tried. A profile that is refused alone is at fault
    only if others were accepted: otherwise the refusal is about something else.

    Raises:
        KlaviyoError: The import was not accepted, for a reason that is not a profile's.
    """
    suspects: list[tuple[Person, KlaviyoError]] = []
    # Ids of profiles for which the address is not enough.
    profile_ids: dict[str, str] = {}
    waiting, has_worked, tries = [list(people)], False, 0
    while waiting:
        batch = waiting.pop()
        tries += 1
        try:
            job = _start_import(client, batch, list_id, profile_ids)
        except KlaviyoError as error:
            refusals = _pointed_at(error, batch)
            duplicates = _duplicates(error, batch, profile_ids)
            if tries > _MOST_TRIES or not (refusals or duplicates or _is_about_a_profile(error)):
                raise
            if duplicates:
                profile_ids |= duplicates
                waiting.append(batch)
            elif refusals:
                yield Result(refused=refusals)
                if left := _without(batch, refusals):
                    waiting.append(left)
            elif len(batch) > 1:
                middle = len(batch) // 2
                waiting += [batch[middle:], batch[:middle]]
            else:
                suspects.append((batch[0], error))
        else:
            has_worked = True
            yield _finish_import(client, job, batch)
    if suspects and not has_worked and len(people) > 1:
        raise suspects[0][1]
    yield Result(refused=[Refusal(person, each.code, each.detail) for person, each in suspects])


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
        found: Resource = client.get(f"{_IMPORTS}/{{id}}", f"{_IMPORTS}/{job}")["data"]
        if found["attributes"]["status"] in ("complete", "cancelled"):
            return found
        if time.monotonic() > deadline:
            raise KlaviyoError("Klaviyo has not finished an import in ten minutes.")
        time.sleep(pause)
        pause = min(pause * 2, _SLOWEST_LOOK_SECONDS)


def _read_refusals(
    client: KlaviyoClient, job: str, people: Sequence[Person]
) -> list[Refusal[Person]]:
    """Who failed inside a finished import: by the payload they came in, else by position."""
    known = {person.email: person for person in people}
    refusals: dict[str, Refusal[Person]] = {}
    path = f"{_IMPORTS}/{job}/import-errors"
    for page in client.pages(f"{_IMPORTS}/{{id}}/import-errors", path, {"page[size]": 100}):
        for item in page:
            attributes = item["attributes"]
            person = known.get(_email_of(attributes.get("original_payload")) or "") or _at(
                people, (attributes.get("source") or {}).get("pointer")
            )
            if person is not None:
                refusals[person.email] = Refusal(person, attributes["code"], attributes["detail"])
    return list(refusals.values())


def _pointed_at(error: KlaviyoError, people: Sequence[Person]) -> list[Refusal[Person]]:
    """The people that a 400 points at; none if it is about something else."""
    if error.status != httpx.codes.BAD_REQUEST:
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
    """Whether a refusal may be the fault of a profile, though it does not say of which."""

    def is_vague(problem: Problem) -> bool:
        pointer = (problem.pointer or "").rstrip("/")
        return pointer.startswith(_PROFILES) or pointer in ("", "/data", "/data/attributes")

    return error.status == httpx.codes.BAD_REQUEST and all(map(is_vague, error.problems))


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
