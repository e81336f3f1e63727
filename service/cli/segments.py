"""RFM segments: export of customers, and the rule that assigns the segments."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import IO

import click

from service.cli.console import echo, tenant_connection, tenant_option
from service.cli.export import segments_export
from service.core.config import Settings
from service.core.errors import InvalidInputError
from service.destinations.configs import change_segment_rule
from service.queue.enqueue import enqueue
from service.tenants.audit import record_command
from service.tenants.segment_rules import SegmentRule, published_rule, read_rule

_CHANGED_BY = "quintile segments"


@click.group()
def segments() -> None:
    """Export RFM segments, and change which there are."""


segments.add_command(segments_export)


@segments.command("rule", epilog="Example: quintile segments rule --tenant acme > rule.json")
@tenant_option
@click.pass_obj
def segments_rule(settings: Settings, tenant: str) -> None:
    """Print the segments and the grid of scores as JSON, for `quintile segments set-rule`."""
    with tenant_connection(settings, tenant, read_only=True) as (conn, tenant_id):
        rule = read_rule(conn, tenant_id)
    echo("the published rule" if rule.is_published else f"saved by {rule.updated_by}")
    parts = {
        "segments": [asdict(row) for row in rule.segments],
        "grid": [asdict(cell) for cell in rule.grid],
    }
    click.echo(json.dumps(parts, indent=2, ensure_ascii=False))


@segments.command("set-rule", epilog="Example: quintile segments set-rule rule.json --tenant acme")
@click.argument("file", type=click.File("r", encoding="utf-8-sig"))
@tenant_option
@click.pass_obj
def segments_set_rule(settings: Settings, file: IO[str], tenant: str) -> None:
    """Replace the segments and the grid of scores, and queue a build.

    FILE is JSON as `quintile segments rule` prints it; - reads standard input. Each combination of
    recency, frequency and monetary score needs exactly one segment; a cell without m_score is for
    any. Segments that feed Klaviyo lists must stay.
    """
    _save(settings, tenant, _parse(file.read()))


@segments.command("reset-rule", epilog="Example: quintile segments reset-rule --tenant acme")
@tenant_option
@click.pass_obj
def segments_reset_rule(settings: Settings, tenant: str) -> None:
    """Go back to the published segments and grid, and queue a build."""
    _save(settings, tenant, published_rule())


def _parse(text: str) -> SegmentRule:
    # The API takes half a second to import, which every other command would pay, too.
    from pydantic import ValidationError

    from service.api.input_errors import field_errors, summarise
    from service.api.segment_rules import RfmRuleInput

    try:
        return RfmRuleInput.model_validate_json(text).to_rule()
    except ValidationError as error:
        raise InvalidInputError(
            summarise(field_errors(error)), advice="See: quintile segments rule --tenant T"
        ) from None


def _save(settings: Settings, tenant: str, rule: SegmentRule) -> None:
    with tenant_connection(settings, tenant) as (conn, tenant_id):
        before = read_rule(conn, tenant_id)
        change_segment_rule(conn, tenant_id, _CHANGED_BY, rule)
        record_command(
            conn,
            tenant_id,
            "segment_rule.changed",
            before=before,
            after=read_rule(conn, tenant_id),
        )
        enqueue(conn, tenant_id, "build", "cli", behind_running=True)
    echo(f"changed {tenant}; if no worker is running: quintile build --tenant {tenant}")
