"""The request bodies of the operations served, as the OpenAPI description types them.

Unknown members are refused: a misspelt attribute must not vanish silently.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from .state import IDENTIFIERS

_EMAIL = re.compile(r"[^@\s,;:<>()\[\]\"]+@[^@\s.,]+(?:\.[^@\s.,]+)+")
# Unicode's categories of control and format characters and of spaces.
_INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
_PHONE = re.compile(r"\+[1-9]\d{6,14}")
MAX_LIST_CHANGES = 1000
MAX_IMPORT_PROFILES = 10_000
MAX_BULK_EVENTS = 1000


def _email(value: str) -> str:
    is_visible = not any(unicodedata.category(each) in _INVISIBLE for each in value)
    if not _EMAIL.fullmatch(value) or ".." in value or not is_visible:
        raise ValueError("Invalid email address")
    return value


def _phone(value: str) -> str:
    if not _PHONE.fullmatch(value):
        raise ValueError("Invalid phone number format: E.164 is expected")
    return value


Email = Annotated[str, AfterValidator(_email)]
Phone = Annotated[str, AfterValidator(_phone)]
Name = Annotated[str, Field(min_length=1)]


class Strict(BaseModel):
    """A JSON:API object with no members but those declared."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Location(Strict):
    """A postal location."""

    address1: str | None = None
    address2: str | None = None
    city: str | None = None
    country: str | None = None
    latitude: str | float | None = None
    longitude: str | float | None = None
    region: str | None = None
    zip: str | None = None
    timezone: str | None = None
    ip: str | None = None


class ProfileAttributes(Strict):
    """Attributes of a profile, all optional; what is not sent is not in `model_fields_set`."""

    email: Email | None = None
    phone_number: Phone | None = None
    external_id: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    organization: str | None = None
    locale: str | None = None
    title: str | None = None
    image: str | None = None
    location: Location | None = None
    properties: dict[str, Any] | None = None

    def given(self) -> dict[str, Any]:
        """The attributes that were sent, nulls included."""
        return self.model_dump(include=self.model_fields_set, exclude_unset=True)


class IdentifiedAttributes(ProfileAttributes):
    """Attributes that must identify their profile."""

    @model_validator(mode="after")
    def _identified(self) -> Self:
        if not any(getattr(self, name) for name in IDENTIFIERS):
            raise ValueError("One of email, phone_number or external_id is required")
        return self


class Reference(Strict):
    """A JSON:API resource identifier."""

    type: str
    id: Name


class ProfileReference(Reference):
    """A reference to a profile."""

    type: Literal["profile"]


class ListReference(Reference):
    """A reference to a list."""

    type: Literal["list"]


class NewProfile(Strict):
    """The resource of POST /api/profiles."""

    type: Literal["profile"]
    attributes: IdentifiedAttributes


class CreateProfile(Strict):
    """POST /api/profiles."""

    data: NewProfile


class ChangedProfile(Strict):
    """The resource of PATCH /api/profiles/{id}."""

    type: Literal["profile"]
    id: str
    attributes: ProfileAttributes


class ChangeProfile(Strict):
    """PATCH /api/profiles/{id}."""

    data: ChangedProfile


class UpsertedProfile(Strict):
    """The resource of POST /api/profile-import and of each profile in a bulk import."""

    type: Literal["profile"]
    id: str | None = None
    attributes: ProfileAttributes

    @model_validator(mode="after")
    def _identified(self) -> Self:
        if not self.id:
            IdentifiedAttributes.model_validate(self.attributes.given())
        return self


class UpsertProfile(Strict):
    """POST /api/profile-import."""

    data: UpsertedProfile


class NewListAttributes(Strict):
    """Attributes of a list."""

    name: Name
    opt_in_process: Literal["single_opt_in", "double_opt_in"] = "single_opt_in"


class NewList(Strict):
    """The resource of POST /api/lists."""

    type: Literal["list"]
    attributes: NewListAttributes


class CreateList(Strict):
    """POST /api/lists."""

    data: NewList


class ListMembers(Strict):
    """POST and DELETE /api/lists/{id}/relationships/profiles."""

    data: Annotated[list[ProfileReference], Field(min_length=1, max_length=MAX_LIST_CHANGES)]


class ImportedProfiles(Strict):
    """The profiles of a bulk import."""

    data: Annotated[list[UpsertedProfile], Field(min_length=1, max_length=MAX_IMPORT_PROFILES)]


class ImportAttributes(Strict):
    """Attributes of a bulk import."""

    profiles: ImportedProfiles


class ListReferences(Strict):
    """The lists to which imported profiles are added."""

    data: list[ListReference] = []


class ImportRelationships(Strict):
    """Relationships of a bulk import."""

    lists: ListReferences = ListReferences()


class NewImportJob(Strict):
    """The resource of POST /api/profile-bulk-import-jobs."""

    type: Literal["profile-bulk-import-job"]
    attributes: ImportAttributes
    relationships: ImportRelationships = ImportRelationships()


class CreateImportJob(Strict):
    """POST /api/profile-bulk-import-jobs."""

    data: NewImportJob


class MetricAttributes(Strict):
    """A metric, by name."""

    name: Name
    service: str | None = None


class Metric(Strict):
    """The resource of a metric."""

    type: Literal["metric"]
    attributes: MetricAttributes


class MetricEnvelope(Strict):
    """A metric inside an event."""

    data: Metric


class EventProfile(Strict):
    """The profile an event belongs to."""

    type: Literal["profile"]
    id: str | None = None
    attributes: ProfileAttributes = ProfileAttributes()


class EventProfileEnvelope(Strict):
    """A profile inside an event."""

    data: EventProfile


class BulkEventAttributes(Strict):
    """An event of a bulk job; its profile is named outside it."""

    properties: dict[str, Any]
    time: datetime | None = None
    value: float | None = None
    value_currency: str | None = None
    unique_id: str | None = None
    backfill: bool | None = None
    metric: MetricEnvelope


class EventAttributes(BulkEventAttributes):
    """A single event."""

    profile: EventProfileEnvelope


class NewEvent(Strict):
    """The resource of POST /api/events."""

    type: Literal["event"]
    attributes: EventAttributes


class CreateEvent(Strict):
    """POST /api/events."""

    data: NewEvent


class BulkEvent(Strict):
    """An event in a bulk job."""

    type: Literal["event"]
    attributes: BulkEventAttributes


class BulkEvents(Strict):
    """The events of one profile."""

    data: Annotated[list[BulkEvent], Field(min_length=1)]


class BulkGroupAttributes(Strict):
    """One profile and its events."""

    backfill: bool | None = None
    profile: EventProfileEnvelope
    events: BulkEvents


class BulkGroup(Strict):
    """The resource of one profile and its events."""

    type: Literal["event-bulk-create"]
    attributes: BulkGroupAttributes


class BulkGroups(Strict):
    """All profiles of a bulk job."""

    data: Annotated[list[BulkGroup], Field(min_length=1)]


class BulkJobAttributes(Strict):
    """Attributes of an event bulk job."""

    groups: BulkGroups = Field(alias="events-bulk-create")


class NewEventJob(Strict):
    """The resource of POST /api/event-bulk-create-jobs."""

    type: Literal["event-bulk-create-job"]
    attributes: BulkJobAttributes


class CreateEventJob(Strict):
    """POST /api/event-bulk-create-jobs."""

    data: NewEventJob


class DeletedProfileAttributes(Strict):
    """The profile to delete."""

    email: Email | None = None
    phone_number: Phone | None = None


class DeletedProfile(Strict):
    """The profile to delete, by exactly one identifier."""

    type: Literal["profile"]
    id: str | None = None
    attributes: DeletedProfileAttributes = DeletedProfileAttributes()

    @model_validator(mode="after")
    def _one_identifier(self) -> Self:
        given = (self.id, self.attributes.email, self.attributes.phone_number)
        if sum(value is not None for value in given) != 1:
            raise ValueError("Exactly one of id, email or phone_number is required")
        return self


class DeletedProfileEnvelope(Strict):
    """A profile inside a deletion job."""

    data: DeletedProfile


class DeletionAttributes(Strict):
    """Attributes of a deletion job."""

    profile: DeletedProfileEnvelope


class NewDeletionJob(Strict):
    """The resource of POST /api/data-privacy-deletion-jobs."""

    type: Literal["data-privacy-deletion-job"]
    attributes: DeletionAttributes


class CreateDeletionJob(Strict):
    """POST /api/data-privacy-deletion-jobs."""

    data: NewDeletionJob
