"""What a Klaviyo account holds, in memory, and the rules of changing it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import RLock
from typing import Any

from .errors import duplicate_profile
from .limits import RateLimits

ALL_SCOPES = frozenset(
    {
        "accounts:read",
        "data-privacy:write",
        "events:write",
        "flows:read",
        "lists:read",
        "lists:write",
        "profiles:read",
        "profiles:write",
    }
)
IDENTIFIERS = ("email", "phone_number", "external_id")
PROFILE_FIELDS = (
    *IDENTIFIERS,
    "first_name",
    "last_name",
    "organization",
    "locale",
    "title",
    "image",
    "location",
    "properties",
)
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def now() -> datetime:
    """The account's present."""
    return datetime.now(UTC)


def crockford(number: int, width: int) -> str:
    """`number` in the alphabet of Klaviyo's ids."""
    digits = ""
    while number or not digits:
        number, rest = divmod(number, 32)
        digits = _CROCKFORD[rest] + digits
    return digits.rjust(width, "0")


@dataclass(slots=True)
class Profile:
    """A person. `consent` is the email marketing consent, which no list operation changes."""

    id: str
    created: datetime
    updated: datetime
    email: str | None = None
    phone_number: str | None = None
    external_id: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    organization: str | None = None
    locale: str | None = None
    title: str | None = None
    image: str | None = None
    location: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    last_event_date: datetime | None = None
    consent: str = "NEVER_SUBSCRIBED"
    suppressed_at: datetime | None = None


@dataclass(slots=True)
class ProfileList:
    """A list; `members` maps profile ids to the moment each joined, as far as it is reported."""

    id: str
    name: str
    created: datetime
    updated: datetime
    opt_in_process: str = "single_opt_in"
    members: dict[str, datetime | None] = field(default_factory=dict)


@dataclass(slots=True)
class Flow:
    """A flow that joining a list starts while its status is `live`."""

    id: str
    name: str
    list_id: str
    status: str
    created: datetime
    updated: datetime


@dataclass(frozen=True, slots=True)
class Event:
    """An event as accepted. `unique_id` is unique per profile and metric."""

    profile_id: str
    metric: str
    unique_id: str
    time: datetime
    value: float | None
    value_currency: str | None
    properties: Mapping[str, Any]
    is_backfill: bool


@dataclass(frozen=True, slots=True)
class ImportFailure:
    """A profile that an import job rejected."""

    id: str
    code: str
    title: str
    detail: str
    pointer: str
    payload: Mapping[str, Any]


def _nothing() -> tuple[list[str], list[ImportFailure]]:
    return [], []


@dataclass(slots=True)
class ImportJob:
    """A bulk import: `work` does it, once, when the job completes."""

    id: str
    created_at: datetime
    total_count: int
    list_ids: tuple[str, ...]
    work: Callable[[], tuple[list[str], list[ImportFailure]]]
    status: str = "queued"
    started_at: datetime | None = None
    completed_at: datetime | None = None
    profile_ids: list[str] = field(default_factory=list)
    failures: list[ImportFailure] = field(default_factory=list)

    def advance(self) -> None:
        """One step on: queued, processing, complete."""
        if self.status == "queued":
            self.status, self.started_at = "processing", now()
        elif self.status == "processing":
            self.profile_ids, self.failures = self.work()
            # It holds all that was posted, and is done only once.
            self.work = _nothing
            self.status, self.completed_at = "complete", now()


class Account:
    """An account with its keys, profiles, lists, jobs and events. Hold `lock` while using it."""

    def __init__(
        self,
        key: str,
        *,
        name: str,
        currency: str,
        timezone: str,
        prefix: str,
        rate_limit_scale: float = 1.0,
        job_seconds: float = 0.5,
    ) -> None:
        """`prefix` (two letters) starts the ids of lists and the public key.

        An import job that is not polled completes by itself after `job_seconds`.
        """
        self.key, self.name, self.currency, self.timezone = key, name, currency, timezone
        self.prefix = prefix
        self.keys: dict[str, frozenset[str]] = {key: ALL_SCOPES}
        self.job_seconds = job_seconds
        self.limits = RateLimits(rate_limit_scale)
        self.lock = RLock()
        self.profiles: dict[str, Profile] = {}
        self.lists: dict[str, ProfileList] = {}
        self.flows: dict[str, Flow] = {}
        self.jobs: dict[str, ImportJob] = {}
        self.events: dict[tuple[str, str, str], Event] = {}
        self._by_identifier: dict[tuple[str, str], str] = {}
        self._unimportable: set[str] = set()
        self._serial = 0

    # For tests and the demo

    def list_names(self) -> list[dict[str, str]]:
        """Id and name of every list."""
        with self.lock:
            return [{"id": each.id, "name": each.name} for each in self.lists.values()]

    def member_emails(self, list_id: str) -> set[str]:
        """Addresses of the members of a list."""
        with self.lock:
            members = (self.profiles[each] for each in self.lists[list_id].members)
            return {profile.email for profile in members if profile.email}

    def profile_by_email(self, email: str) -> Profile | None:
        """A copy of the profile with this address."""
        with self.lock:
            found = self._by_identifier.get(("email", email.lower()))
            return replace(self.profiles[found]) if found else None

    def add_key(self, key: str, scopes: Iterable[str]) -> None:
        """Issue another key for the account, limited to `scopes`."""
        with self.lock:
            self.keys[key] = frozenset(scopes)

    def revoke_key(self, key: str) -> None:
        """Revoke a key: requests with it are answered 401."""
        with self.lock:
            self.keys.pop(key, None)

    def fail_import_of(self, email: str) -> None:
        """Make bulk imports fail for this address while they run, not when they are posted."""
        with self.lock:
            self._unimportable.add(email.lower())

    def add_flow(self, name: str, list_id: str, status: str = "live") -> Flow:
        """Make a flow that joining a list starts; `status` is draft, manual or live."""
        with self.lock:
            created = now()
            made = Flow(self.new_id()[-6:], name, list_id, status, created, created)
            self.flows[made.id] = made
            return made

    def suppress(self, email: str) -> None:
        """Suppress a profile, as after a complaint; no import lifts it."""
        with self.lock:
            self.profiles[self._by_identifier["email", email.lower()]].suppressed_at = now()

    # Ids

    def new_id(self) -> str:
        """The next id, in the form Klaviyo gives profiles and jobs."""
        self._serial += 1
        return f"01SANDB0X{self.prefix}{crockford(self._serial, 15)}"

    # Lists

    def add_list(self, name: str, opt_in_process: str = "single_opt_in") -> ProfileList:
        """Create an empty list; names need not be unique."""
        with self.lock:
            number = crockford(len(self.lists) + 1, 4)
            created = now()
            made = ProfileList(f"{self.prefix}{number}", name, created, created, opt_in_process)
            self.lists[made.id] = made
            return made

    def join(self, to: ProfileList, profile_ids: Iterable[str]) -> None:
        """Add profiles to a list; existing members keep the time they joined."""
        joined = now()
        for profile_id in profile_ids:
            to.members.setdefault(profile_id, joined)
        to.updated = joined

    # Profiles

    def find_profile(self, attributes: Mapping[str, Any]) -> Profile | None:
        """The profile one of the identifiers in `attributes` belongs to."""
        for name in IDENTIFIERS:
            value = attributes.get(name)
            found = self._by_identifier.get((name, _normal(name, value))) if value else None
            if found:
                return self.profiles[found]
        return None

    def create_profile(self, attributes: Mapping[str, Any]) -> Profile:
        """Create a profile. Raises the 409 `duplicate_profile` when an identifier is taken."""
        if existing := self.find_profile(attributes):
            raise duplicate_profile(existing.id)
        created = now()
        profile = Profile(self.new_id(), created, created)
        self.profiles[profile.id] = profile
        self.change_profile(profile, attributes)
        return profile

    def change_profile(self, profile: Profile, attributes: Mapping[str, Any]) -> None:
        """Set the given attributes; null clears. Raises 409 when an identifier is taken.

        `location` and `properties` merge key by key.
        """
        for name in IDENTIFIERS:
            value = attributes.get(name)
            owner = self._by_identifier.get((name, _normal(name, value))) if value else None
            if owner and owner != profile.id:
                raise duplicate_profile(owner)
        for name in PROFILE_FIELDS:
            if name in attributes:
                self._set(profile, name, attributes[name])
        profile.updated = now()

    def _set(self, profile: Profile, name: str, value: Any) -> None:
        if name in ("location", "properties"):
            merged = {**getattr(profile, name), **value} if value is not None else {}
            setattr(profile, name, {k: v for k, v in merged.items() if v is not None})
            return
        if name in IDENTIFIERS:
            old = getattr(profile, name)
            if old:
                self._by_identifier.pop((name, _normal(name, old)), None)
            if value:
                value = value.lower() if name == "email" else value
                self._by_identifier[name, _normal(name, value)] = profile.id
        setattr(profile, name, value)

    def upsert_profile(self, attributes: Mapping[str, Any]) -> tuple[Profile, bool]:
        """Create or change the profile that `attributes` identify; True when it is new."""
        existing = self.find_profile(attributes)
        if existing is None:
            return self.create_profile(attributes), True
        self.change_profile(existing, attributes)
        return existing, False

    def import_profile(self, attributes: Mapping[str, Any]) -> str | None:
        """Import one profile of a bulk job; nulls are ignored. None when it is rejected."""
        if str(attributes.get("email", "")).lower() in self._unimportable:
            return None
        present = {name: value for name, value in attributes.items() if value is not None}
        properties = present.get("properties")
        if properties is not None:
            present["properties"] = {k: v for k, v in properties.items() if v is not None}
        return self.upsert_profile(present)[0].id

    def delete_profile(self, profile: Profile) -> None:
        """Delete a person: profile, memberships, events."""
        for name in IDENTIFIERS:
            if value := getattr(profile, name):
                self._by_identifier.pop((name, _normal(name, value)), None)
        for each in self.lists.values():
            each.members.pop(profile.id, None)
        self.events = {k: v for k, v in self.events.items() if v.profile_id != profile.id}
        del self.profiles[profile.id]

    # Jobs and events

    def finish_old_jobs(self) -> None:
        """Complete the jobs whose time has passed."""
        for job in self.jobs.values():
            if (now() - job.created_at).total_seconds() < self.job_seconds:
                continue
            while job.status != "complete":
                job.advance()

    def record_event(self, event: Event) -> None:
        """Keep an event unless its profile has one with the same metric and unique id."""
        key = (event.profile_id, event.metric, event.unique_id)
        if key not in self.events:
            self.events[key] = event
            self.profiles[event.profile_id].last_event_date = event.time


def _normal(name: str, value: Any) -> str:
    """Addresses are compared without regard to case."""
    return str(value).lower() if name == "email" else str(value)
