"""The errors Quintile raises on purpose.

Each class says what happened in its docstring and, where there is something to do about it, carries
that in ``advice``. The CLI prints both and exits 1; the API turns them into a problem document.
"""

from __future__ import annotations


class QuintileError(Exception):
    """Something Quintile can explain went wrong."""

    advice: str = ""
    # For the operator's eyes only: names of files, a tool's own words.
    detail: str = ""
    # Whether the same work may succeed later without any change.
    is_transient: bool = False

    def __init__(
        self, message: str | None = None, *, advice: str | None = None, detail: str = ""
    ) -> None:
        super().__init__(message or type(self).__doc__ or "")
        if advice is not None:
            self.advice = advice
        self.detail = detail

    @property
    def message(self) -> str:
        """One sentence that says what happened, without any secret in it."""
        return str(self.args[0])


class InvalidSettingError(QuintileError):
    """A setting in the environment cannot be read."""


class DatabaseUnavailableError(QuintileError):
    """The database cannot be reached."""

    is_transient = True


class UnsupportedDatabaseError(QuintileError):
    """The PostgreSQL server is older than Quintile supports."""


class NewerDatabaseError(QuintileError):
    """The database was migrated by a newer release than this one."""


class MissingGrantError(QuintileError):
    """The database role lacks a right that the migration needs."""


class TablesInUseError(QuintileError):
    """A transaction keeps a table that a migration changes."""

    advice = "End the oldest in pg_stat_activity, or wait for it, and run: quintile migrate"


class ForeignRolesError(QuintileError):
    """A database role of Quintile's has a password that this installation does not know."""

    advice = (
        "Another installation on this server uses the role, or QUINTILE_SECRET_KEY (or the file"
        " secret.key under QUINTILE_HOME) is not the one it was set up with. Use that one; or, if"
        " nothing else uses the role: quintile migrate --reset-passwords"
    )

    def __init__(self, role: str) -> None:
        super().__init__(
            f"Role {role} exists already, with a password that this installation does not know."
        )


class OverprivilegedRoleError(QuintileError):
    """The service's database role may do more than the service needs."""


class EmbeddedDatabaseError(QuintileError):
    """The embedded PostgreSQL could not be started."""


class UnknownTenantError(QuintileError):
    """There is no such tenant."""


class InvalidInputError(QuintileError):
    """What was given cannot be used."""

    def __init__(
        self,
        message: str | None = None,
        *,
        advice: str | None = None,
        detail: str = "",
        field: str = "",
    ) -> None:
        super().__init__(message, advice=advice, detail=detail)
        # The one setting or parameter that is wrong, by its name in the API.
        self.field = field


class NotConnectedError(QuintileError):
    """The tenant is not connected to this service yet."""


class AlreadyRunningError(QuintileError):
    """The same job is already running for this tenant."""


class BuildFailedError(QuintileError):
    """The dbt build did not succeed.

    ``is_transient`` says that it may succeed the next time, because the database went away.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        advice: str | None = None,
        detail: str = "",
        is_transient: bool = False,
    ) -> None:
        super().__init__(message, advice=advice, detail=detail)
        self.is_transient = is_transient


class SealBrokenError(QuintileError):
    """A stored secret cannot be opened with the keys at hand."""
