"""Carrying out a plan: batches to Klaviyo, and into the ledger what Klaviyo has accepted.

Every call may be repeated: importing a profile that is on the list, or removing one that is not,
changes nothing. So a run that dies between a call and its ledger entry is simply done over.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import httpx
from psycopg.types.json import Jsonb

from service.db import Pool, query, tenant_transaction
from service.jobs.progress import Progress
from service.klaviyo.client import (
    Document,
    KlaviyoClient,
    KlaviyoError,
    Resource,
)
from service.spool import Row

_IMPORTS = "/api/profile-bulk-import-jobs"
_REMOVALS = "/api/lists/{id}/relationships/profiles"
_POINTER = re.compile(r"/data/attributes/profiles/data/(\d+)(?:/.*)?")
# Each round takes at least one address out of the batch; Klaviyo names all it finds at once.
_ROUNDS = 20
_FIRST_LOOK_SECONDS = 0.2
_SLOWEST_LOOK_SECONDS = 5.0
_IMPORTED_WITHIN_SECONDS = 600.0


@dataclass(frozen=True)
class Limits:
    """How much goes into one call; the defaults are Klaviyo's own limits."""

    import_profiles: int = 10_000
    # 5 MB, less some room for what surrounds the profiles.
    import_bytes: int = 4_900_000
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
class Refusal:
    """An address Klaviyo did not take, with its reason."""

    email: str
    code: str
    detail: str


def remove(target: Target, removals: Iterable[Row], limits: Limits, progress: Progress) -> None:
    """Take profiles off the list, then out of the ledger; rows are address, customer, profile id.

    Raises:
        KlaviyoError: A batch was not accepted; it is marked pending and done over next time.
    """
    for batch in _batches(removals, limits.remove_profiles, limits.import_bytes):
        # Were these still called synced after a crash, those back in the segment by the next sync
        # would seem to have been taken off by a person.
        _record(
            target,
            "mark_removing",
            emails=[row[0] for row in batch],
            profile_ids=[row[2] for row in batch],
        )
        body = {"data": [{"type": "profile", "id": row[2]} for row in batch]}
        path = f"/api/lists/{target.list_id}/relationships/profiles"
        target.client.delete(_REMOVALS, path, body)
        _record(target, "forget_removed", emails=[row[0] for row in batch])
        progress.count(removed=len(batch))
        progress.advance(len(batch))


def add(target: Target, additions: Iterable[Row], limits: Limits, progress: Progress) -> None:
    """Put addresses on the list; each row is address, customer id, _.

    Addresses that Klaviyo refuses are recorded with its reason; the rest of their batch goes on.

    Raises:
        KlaviyoError: A batch was not accepted; it is marked pending and done over next time.
    """
    for batch in _batches(additions, limits.import_profiles, limits.import_bytes):
        _mark_pending(target, batch)
        synced = _import(target, [str(row[0]) for row in batch], progress)
        _record(target, "mark_synced", emails=synced)
        progress.count(added=len(synced))
        progress.advance(len(batch))


def send(
    target: Target,
    additions: Iterable[Row],
    updates: Iterable[Row],
    limits: Limits,
    progress: Progress,
) -> None:
    """To be written."""
    add(target, additions, limits, progress)
    _told(target, [*additions, *updates])


def refresh(target: Target, stale: Iterable[Row], limits: Limits, progress: Progress) -> None:
    """To be written."""
    _told(target, stale)


def _told(target: Target, rows: Iterable[Row]) -> None:
    with tenant_transaction(target.pool, target.tenant_id) as conn, conn.cursor() as cursor:
        cursor.executemany(
            "insert into app.klaviyo_profiles (tenant_id, email, properties_hash)"
            " values (%s, %s, %s) on conflict (tenant_id, email) do update"
            " set properties_hash = excluded.properties_hash",
            [(target.tenant_id, row[0], row[4]) for row in rows],
        )


def _import(target: Target, emails: list[str], progress: Progress) -> list[str]:
    """Import one batch and return the addresses that are on the list for certain."""
    job, accepted = _start_import(target, emails, progress)
    if job is None:
        return []
    finished = _await_import(target.client, job)
    failed = int(finished["attributes"].get("failed_count") or 0)
    if finished["attributes"]["status"] == "cancelled":
        raise KlaviyoError("Klaviyo cancelled an import; the next sync repeats it.")
    if not failed:
        return accepted
    refusals = _read_refusals(target.client, job, accepted)
    _reject(target, refusals, progress)
    if len(refusals) < failed:
        # Some failed and we cannot tell which: the next sync finds on the list those that did not.
        return []
    refused = {refusal.email for refusal in refusals}
    return [email for email in accepted if email not in refused]


def _start_import(
    target: Target, emails: list[str], progress: Progress
) -> tuple[str | None, list[str]]:
    """Start an import, leaving out what Klaviyo points at; returns the job and who is in it."""
    for _ in range(_ROUNDS):
        if not emails:
            return None, []
        try:
            answer = target.client.post(_IMPORTS, _IMPORTS, _import_body(target.list_id, emails))
        except KlaviyoError as error:
            refusals = _pointed_at(error, emails)
            if not refusals:
                raise
            _reject(target, refusals, progress)
            refused = {refusal.email for refusal in refusals}
            emails = [email for email in emails if email not in refused]
        else:
            return str(answer["data"]["id"]), emails
    raise KlaviyoError("Klaviyo keeps finding addresses it does not accept in one batch.")


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


def _read_refusals(client: KlaviyoClient, job: str, emails: Sequence[str]) -> list[Refusal]:
    """Who failed inside a finished import: by the payload they came in, else by position."""
    known = set(emails)
    refusals: dict[str, Refusal] = {}
    path = f"{_IMPORTS}/{job}/import-errors"
    for page in client.pages(f"{_IMPORTS}/{{id}}/import-errors", path, {"page[size]": 100}):
        for item in page:
            attributes = item["attributes"]
            email = _email_of(attributes.get("original_payload"))
            if email not in known:
                email = _at(emails, (attributes.get("source") or {}).get("pointer"))
            if email is not None:
                refusals[email] = Refusal(email, attributes["code"], attributes["detail"])
    return list(refusals.values())


def _pointed_at(error: KlaviyoError, emails: Sequence[str]) -> list[Refusal]:
    """The addresses that a 400 points at; none when it is about something else."""
    if error.status != httpx.codes.BAD_REQUEST:
        return []
    found = ((_at(emails, problem.pointer), problem) for problem in error.problems)
    return [
        Refusal(email, problem.code, problem.detail)
        for email, problem in found
        if email is not None
    ]


def _at(emails: Sequence[str], pointer: str | None) -> str | None:
    match = _POINTER.fullmatch(pointer or "")
    if match is None or int(match[1]) >= len(emails):
        return None
    return emails[int(match[1])]


def _email_of(payload: object) -> str | None:
    """The address in an import error's payload: the profile's attributes, or the profile."""
    if not isinstance(payload, dict):
        return None
    attributes = payload.get("attributes")
    email = (attributes if isinstance(attributes, dict) else payload).get("email")
    return email.strip().lower() if isinstance(email, str) else None


def _reject(target: Target, refusals: Sequence[Refusal], progress: Progress) -> None:
    rows = [{"email": r.email, "code": r.code, "detail": r.detail} for r in refusals]
    _record(target, "mark_rejected", refusals=Jsonb(rows))
    progress.count(rejected=len(refusals))


def _mark_pending(target: Target, batch: Sequence[Row]) -> None:
    _record(
        target,
        "mark_pending",
        emails=[row[0] for row in batch],
        customer_ids=[row[1] for row in batch],
    )


def _record(target: Target, statement: str, **parameters: object) -> None:
    with tenant_transaction(target.pool, target.tenant_id) as conn:
        conn.execute(
            query(f"klaviyo/sql/{statement}"),
            {"tenant_id": target.tenant_id, "config_id": target.config_id, **parameters},
        )


def _import_body(list_id: str, emails: Iterable[str]) -> Document:
    return {
        "data": {
            "type": "profile-bulk-import-job",
            "attributes": {"profiles": {"data": [_profile(email) for email in emails]}},
            "relationships": {"lists": {"data": [{"type": "list", "id": list_id}]}},
        }
    }


def _profile(email: str | None) -> Document:
    return {"type": "profile", "attributes": {"email": email}}


def _batches(rows: Iterable[Row], most_rows: int, most_bytes: int) -> Iterator[list[Row]]:
    """Rows in order, in lists that stay under both limits."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        row_size = len(json.dumps(_profile(row[0])).encode()) + 1
        if batch and (len(batch) == most_rows or size + row_size > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += row_size
    if batch:
        yield batch
