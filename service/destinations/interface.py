"""The interface of a destination: a service that keeps lists of profiles, such as Klaviyo.

A destination is one package that implements :class:`Destination` for an account that is open for
one run. Configurations, members, plan, ledger, the guard against mass removals and the records of a
sync are the same for all destinations and are in this package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from service.core.errors import QuintileError

T = TypeVar("T")

Event = dict[str, Any]


class DestinationError(QuintileError):
    """The destination did not do what was asked.

    ``code`` is its own code for the error, empty if it gave none.
    """

    code = ""


class DestinationUnavailableError(DestinationError):
    """The destination cannot be reached, or keeps failing: this ends the run."""

    is_transient = True


class CredentialRefusedError(DestinationError):
    """The destination does not accept the credential: this pauses every configuration."""


class ListNotFoundError(DestinationError):
    """The destination has no such list."""


class FlowsUnknownError(DestinationError):
    """The destination does not tell which flows a list starts; the message says why."""


class ListProfile(NamedTuple):
    """A profile on a list; ``joined_at`` is in ISO 8601."""

    profile_id: str
    email: str | None
    joined_at: str | None
    is_suppressed: bool


class Person(NamedTuple):
    """A person to add, update or remove.

    ``profile_id`` is the profile that was last read from the list; ``properties`` is a JSON object.
    """

    email: str
    customer_id: str | None
    profile_id: str | None
    properties: str | None
    properties_hash: str | None


@dataclass(frozen=True)
class Refusal(Generic[T]):
    """A person or event that the destination did not accept, with its reason."""

    refused: T
    code: str
    detail: str


@dataclass(frozen=True)
class Result(Generic[T]):
    """What the destination did with some of the people or events of a call.

    ``unsent`` certainly never reached it, because the call failed before.
    """

    accepted: Sequence[T] = ()
    refused: Sequence[Refusal[T]] = ()
    unsent: Sequence[T] = ()


@dataclass(frozen=True)
class Limits:
    """How much one call may hold: numbers of profiles and events, sizes in bytes."""

    import_profiles: int
    import_bytes: int
    profile_bytes: int
    remove_profiles: int
    events: int


class Destination(Protocol):
    """An account of a destination, open for one run.

    Every method raises :class:`DestinationError` or one of its subclasses if the destination does
    not do what was asked. Calls that write must be safe to repeat: a sync that ends between a call
    and its record repeats the call.
    """

    @property
    def limits(self) -> Limits:
        """How much one call may hold."""

    @property
    def calls(self) -> int:
        """Requests made so far."""

    def read_members(self, list_id: str, since: datetime | None) -> Iterator[ListProfile]:
        """The profiles on a list: all, or those that joined since this time.

        Include an overlap if the destination reports joins late. A join that is missing from a read
        of the joins costs nothing but time: :meth:`find_members` is asked before anyone is added.
        A read of all that begins ten minutes after an import must show its profiles, because an
        address that it misses counts as removed by a person.

        Raises:
            ListNotFoundError: There is no such list.
        """

    def find_members(self, list_id: str, emails: Sequence[str]) -> Iterator[ListProfile]:
        """The profiles on a list that have one of these addresses, whenever they joined.

        Raises:
            ListNotFoundError: There is no such list.
        """

    def read_suppressed(self, since: datetime | None) -> Iterator[ListProfile]:
        """Profiles that get no e-mail, on any list: all, or those suppressed since this time.

        ``joined_at`` is when they were suppressed.
        """

    def read_list_name(self, list_id: str) -> str | None:
        """The name of a list; None if there is no such list."""

    def read_live_flows(self, list_id: str) -> list[str]:
        """Names of the flows that start for a profile that joins the list.

        Raises:
            FlowsUnknownError: The destination does not tell.
        """

    def profile_size(self, person: Person) -> int:
        """Bytes of a person in an import, for ``import_bytes`` and ``profile_bytes``."""

    def import_profiles(
        self, people: Sequence[Person], list_id: str | None
    ) -> Iterator[Result[Person]]:
        """Write profiles with their properties, and add them to a list if one is given.

        The people keep within ``limits``. Each result holds people of this call and is recorded as
        it comes; people in none of them stay pending, and the next sync looks for them on the list.
        """

    def remove_profiles(self, list_id: str, profile_ids: Sequence[str]) -> Sequence[Refusal[str]]:
        """Remove profiles from a list; returns those that are still on it, with the reason.

        Profiles that are not on it are no error.
        """

    def send_events(self, events: Sequence[Event]) -> Iterator[Result[Event]]:
        """Send events, rows of ``list_pending_events``; ``event_id`` makes a repeat harmless.

        At least one result is not empty; events in none of them are sent with the next call.
        """


# Opens a tenant's account. It records by core/credentials.py that the credential was accepted or
# refused, which pages and the doctor show.
OpenDestination = Callable[[], AbstractContextManager[Destination]]
