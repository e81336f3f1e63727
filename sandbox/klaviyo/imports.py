"""/api/profile-bulk-import-jobs: thousands of profiles at once, later."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from flask import Blueprint, Response, request

from .bodies import CreateImportJob, UpsertedProfile
from .errors import ApiError, error_object, invalid, not_found
from .limits import MEDIUM
from .operations import KILOBYTE, MEGABYTE, Document, operation, respond, url
from .operations import read_body as body
from .pages import filtered, page, sort_order, sparse, write_time
from .profiles import profile_document
from .state import Account, ImportFailure, ImportJob, now

blueprint = Blueprint("imports", __name__)

_PATH = "/api/profile-bulk-import-jobs"
_READ, _WRITE = ("lists:read", "profiles:read"), ("lists:write", "profiles:write")
_FIELDS = "fields[profile-bulk-import-job]"
_MAX_BODY, _MAX_PROFILE = 5 * MEGABYTE, 100 * KILOBYTE
_EXPIRES_AFTER = timedelta(days=7)


@operation(blueprint, "POST", _PATH, limit=MEDIUM, scopes=_WRITE, parameters=(_FIELDS,))
def bulk_import_profiles(account: Account) -> Response:
    """Queue an import. One unacceptable profile, and nothing is queued."""
    posted = body(CreateImportJob, maximum=_MAX_BODY).data
    profiles = posted.attributes.profiles.data
    _check_sizes(profiles)
    list_ids = tuple(each.id for each in posted.relationships.lists.data)
    for position, list_id in enumerate(list_ids):
        if list_id not in account.lists:
            pointer = f"/data/relationships/lists/data/{position}/id"
            raise invalid(f"A list with id {list_id} does not exist.", pointer=pointer)
    job = ImportJob(
        id=account.new_id(),
        created_at=now(),
        total_count=len(profiles),
        list_ids=list_ids,
        work=partial(_import, account, profiles, list_ids),
    )
    account.jobs[job.id] = job
    return respond({"data": _job_document(job)}, 202)


@operation(
    blueprint,
    "GET",
    _PATH,
    limit=MEDIUM,
    scopes=_READ,
    parameters=(_FIELDS, "filter", "page[cursor]", "page[size]", "sort"),
)
def get_bulk_import_profiles_jobs(account: Account) -> Response:
    """All import jobs, newest first."""
    _, backwards = sort_order(("created_at",), "-created_at")
    rows = filtered(
        list(account.jobs.values()),
        {"status": ("any", "equals")},
        lambda name: lambda row: getattr(row, name),
    )
    rows.sort(key=lambda row: (row.created_at, row.id), reverse=backwards)
    chosen, links = page(rows, lambda row: row.id, default=20, maximum=100)
    return respond({"data": [_job_document(row) for row in chosen], "links": links})


@operation(
    blueprint, "GET", f"{_PATH}/<id>", limit=MEDIUM, scopes=_READ, parameters=(_FIELDS, "include")
)
def get_bulk_import_profiles_job(account: Account, id: str) -> Response:  # noqa: A002
    """One import job; each request advances it one step."""
    job = _job_of(account, id)
    job.advance()
    return respond({"data": _job_document(job)})


@operation(
    blueprint,
    "GET",
    f"{_PATH}/<id>/import-errors",
    limit=MEDIUM,
    scopes=("profiles:read",),
    parameters=("fields[import-error]", "page[cursor]", "page[size]"),
)
def get_errors_for_bulk_import_profiles_job(account: Account, id: str) -> Response:  # noqa: A002
    """The profiles an import job rejected."""
    failures = _job_of(account, id).failures
    chosen, links = page(failures, lambda failure: failure.id, default=20, maximum=100)
    return respond({"data": [_failure_document(each) for each in chosen], "links": links})


@operation(
    blueprint,
    "GET",
    f"{_PATH}/<id>/profiles",
    limit=MEDIUM,
    scopes=("profiles:read",),
    parameters=("additional-fields[profile]", "fields[profile]", "page[cursor]", "page[size]"),
)
def get_profiles_for_bulk_import_profiles_job(account: Account, id: str) -> Response:  # noqa: A002
    """The profiles an import job created or changed."""
    kept = [each for each in _job_of(account, id).profile_ids if each in account.profiles]
    chosen, links = page(kept, lambda each: each, default=20, maximum=100)
    documents = [profile_document(account.profiles[each]) for each in chosen]
    return respond({"data": documents, "links": links})


def _check_sizes(profiles: list[UpsertedProfile]) -> None:
    """No profile may exceed its own limit; only a large body can hold one that does."""
    if (request.content_length or 0) <= _MAX_PROFILE:
        return
    too_big = [
        error_object(
            400,
            "invalid",
            "Invalid input.",
            f"A profile may take {_MAX_PROFILE} bytes at most.",
            pointer=f"/data/attributes/profiles/data/{position}",
        )
        for position, profile in enumerate(profiles)
        if len(profile.model_dump_json(exclude_unset=True).encode()) > _MAX_PROFILE
    ]
    if too_big:
        raise ApiError(400, too_big)


def _import(
    account: Account, profiles: list[UpsertedProfile], list_ids: tuple[str, ...]
) -> tuple[list[str], list[ImportFailure]]:
    """Run the import; returns the ids of the profiles accepted, and the rejected ones."""
    taken, failures = [], []
    for position, profile in enumerate(profiles):
        attributes = profile.attributes.given()
        try:
            profile_id = account.import_profile(attributes)
        except ApiError as error:
            first = error.errors[0]
            failure = (first["code"], first["title"], first["detail"])
        else:
            if profile_id is not None:
                taken.append(profile_id)
                continue
            failure = ("invalid", "Invalid input.", "The profile could not be imported.")
        pointer = f"/data/attributes/profiles/data/{position}/attributes"
        failures.append(ImportFailure(account.new_id(), *failure, pointer, attributes))
    for list_id in list_ids:
        if list_id in account.lists:
            account.join(account.lists[list_id], taken)
    return taken, failures


def _job_of(account: Account, job_id: str) -> ImportJob:
    job = account.jobs.get(job_id)
    if job is None:
        raise not_found(f"A profile bulk import job with id {job_id} does not exist.")
    return job


def _job_document(job: ImportJob) -> Document:
    attributes = {
        "status": job.status,
        "created_at": write_time(job.created_at),
        "total_count": job.total_count,
        "completed_count": len(job.profile_ids),
        "failed_count": len(job.failures),
        "completed_at": write_time(job.completed_at),
        "expires_at": write_time(job.created_at + _EXPIRES_AFTER),
        "started_at": write_time(job.started_at),
    }
    self_link = url(f"{_PATH}/{job.id}")
    lists = [{"type": "list", "id": list_id} for list_id in job.list_ids]
    return {
        "type": "profile-bulk-import-job",
        "id": job.id,
        "attributes": sparse(attributes, "profile-bulk-import-job"),
        "relationships": {
            "lists": {
                "data": lists,
                "links": {
                    "self": f"{self_link}/relationships/lists",
                    "related": f"{self_link}/lists",
                },
            },
            "import-errors": {"links": {"related": f"{self_link}/import-errors"}},
        },
        "links": {"self": self_link},
    }


def _failure_document(failure: ImportFailure) -> Document:
    attributes = {
        "code": failure.code,
        "title": failure.title,
        "detail": failure.detail,
        "source": {"pointer": failure.pointer},
        "original_payload": failure.payload,
    }
    return {
        "type": "import-error",
        "id": failure.id,
        "attributes": sparse(attributes, "import-error"),
    }
