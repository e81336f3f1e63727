"""The errors Quintile raises on purpose.

A class's docstring is its default message; ``advice`` says what to do about it. The CLI prints both
and exits 1; the API returns them as a problem document.
"""

from __future__ import annotations

from pathlib import Path


class QuintileError(Exception):
    """An error that Quintile can explain."""

    advice: str = ""
    is_transient: bool = False

    def __init__(
        self,
        message: str | None = None,
        *,
        advice: str | None = None,
        detail: str = "",
        is_transient: bool | None = None,
    ) -> None:
        """Describe the error; what is not given is the class's.

        Args:
            message: One sentence without secrets; the class's docstring when not given.
            advice: What to do about it.
            detail: For the operator only, such as names of files or a tool's output.
            is_transient: Whether the same work may succeed later without any change.
        """
        super().__init__(message or type(self).__doc__ or "")
        if advice is not None:
            self.advice = advice
        if is_transient is not None:
            self.is_transient = is_transient
        self.detail = detail

    @property
    def message(self) -> str:
        """One sentence that says what happened, without secrets."""
        return str(self.args[0])


class InvalidSettingError(QuintileError):
    """A setting in the environment is invalid."""


class IncompleteInstallationError(QuintileError):
    """The files of the dbt project and the migrations are not there."""

    def __init__(self, directory: Path) -> None:
        super().__init__(
            f"This installation of Quintile lacks its models and migrations: {directory}.",
            advice="Install a wheel of Quintile again (pip install --force-reinstall), or the"
            " checkout as editable (pip install --editable).",
        )


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
    """A long transaction uses a table that a migration changes."""

    advice = (
        "End the oldest transaction in pg_stat_activity, or wait for it; then run: quintile migrate"
    )


class ForeignRolesError(QuintileError):
    """A database role of Quintile's has a password that this installation does not know."""

    advice = (
        "Another installation on this server uses the role, or QUINTILE_SECRET_KEY (or the file"
        " secret.key under QUINTILE_HOME) is not the one it was set up with. Use that one; or, if"
        " nothing else uses the role: quintile migrate --reset-passwords"
    )


class OverprivilegedRoleError(QuintileError):
    """The service's database role may do more than the service needs."""


class EmbeddedDatabaseError(QuintileError):
    """The embedded PostgreSQL could not be started."""


class UnknownTenantError(QuintileError):
    """There is no such tenant."""


class InvalidInputError(QuintileError):
    """The input is invalid."""

    def __init__(
        self, message: str | None = None, *, advice: str | None = None, field: str = ""
    ) -> None:
        """Describe the error; ``field`` is the API's name of the one invalid field, if any."""
        super().__init__(message, advice=advice)
        self.field = field


class NotConnectedError(QuintileError):
    """The tenant is not connected to this service yet."""


class AlreadyRunningError(QuintileError):
    """The same job is already running for this tenant."""


class BuildFailedError(QuintileError):
    """The dbt build did not succeed."""


class SealBrokenError(QuintileError):
    """A stored secret cannot be opened with the current keys."""
