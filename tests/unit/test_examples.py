"""Files in docs/ and deploy/ are valid, and name only commands, settings and metrics that exist."""

from __future__ import annotations

import ast
import configparser
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from secrets import token_hex
from typing import Any

import click
import pytest
import yaml
from croniter import croniter

from service.cli.main import main
from service.core.config import Settings, environment_name, load_settings
from service.core.errors import InvalidSettingError
from tests.conftest import PROJECT_DIR

EXAMPLES = PROJECT_DIR / "docs" / "examples"
DEPLOY = PROJECT_DIR / "deploy"
DOCS = [PROJECT_DIR / "docs" / "schedulers.md", PROJECT_DIR / "docs" / "operations.md"]
UNITS = sorted([*EXAMPLES.glob("systemd/*.*"), *DEPLOY.glob("*.service")])
PYTHON = sorted(EXAMPLES.glob("*.py"))
EXAMPLE_FILES = [path for root in (EXAMPLES, DEPLOY) for path in root.rglob("*") if path.is_file()]

# In prose, commands are in backticks or indented.
IN_PROSE = re.compile(r"(?:`|^ {4}.*?)(?<![\w/])quintile ([a-z][^`\n|;&)]*)", re.MULTILINE)
ELSEWHERE = re.compile(r"(?<![\w-])quintile ([a-z][^\n|;&>\"`]*)")


def _commands(path: Path) -> Iterator[list[str]]:
    """The arguments of every call of ``quintile`` in a file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        for call in ast.walk(ast.parse(text)):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("job", "run"):
                yield shlex.split(call.args[-1].value)  # type: ignore[attr-defined]
        return
    lines = text if path.suffix == ".md" else re.sub(r"^\s*[#;].*$", "", text, flags=re.MULTILINE)
    pattern = IN_PROSE if path.suffix == ".md" else ELSEWHERE
    for found in pattern.findall(lines):
        yield shlex.split(found.split("  ")[0], comments=True)


def _check(arguments: list[str]) -> None:
    """Check that the command exists and has these options."""
    command: click.Command = main
    rest = list(arguments)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"quintile {' '.join(arguments)}"
        command = command.commands[rest.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    given = {word.split("=")[0] for word in rest if word.startswith("--")}
    assert given <= known, f"quintile {' '.join(arguments)}"


@pytest.mark.parametrize("path", [*DOCS, *EXAMPLE_FILES], ids=lambda path: path.name)
def test_every_documented_command_exists(path: Path) -> None:
    for arguments in _commands(path):
        _check(arguments)


def test_the_search_finds_documented_commands() -> None:
    """Otherwise the test above would check nothing."""
    named = {path.name: [" ".join(words) for words in _commands(path)] for path in EXAMPLE_FILES}
    assert len(named["crontab"]) == 8
    assert "sync shopify --only orders" in named["airflow_dag.py"]
    assert "sync klaviyo" in named["dagster_definitions.py"]
    assert "sync klaviyo --json" in named["quintile-klaviyo.service"]
    assert "build --json" in named["github-actions.yml"]
    assert "housekeep" in [" ".join(words) for words in _commands(DOCS[0])]
    assert "keys rotate" in [" ".join(words) for words in _commands(DOCS[1])]


@pytest.mark.parametrize("path", [*DOCS, *EXAMPLE_FILES], ids=lambda path: path.name)
def test_every_documented_setting_exists(path: Path) -> None:
    named = set(re.findall(r"QUINTILE_[A-Z_]+", path.read_text(encoding="utf-8")))
    assert named <= {environment_name(item.name) for item in fields(Settings)}


def test_the_example_environment_file_loads_once_its_secrets_are_replaced() -> None:
    lines = (DEPLOY / "environment.example").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    with pytest.raises(InvalidSettingError, match="is an example"):
        load_settings(given)
    own = {name: token_hex() if text == "change-me" else text for name, text in given.items()}
    assert load_settings(own).web_processes == 2


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_the_units(path: Path, tmp_path: Path) -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(path)
    if path.suffix == ".timer":
        assert path.with_suffix(".service").exists()
        assert unit["Install"]["WantedBy"] == "timers.target"
    else:
        assert unit["Service"]["KillMode"] == "mixed"
        # Builds write there, and nothing else creates the directory.
        assert ("serve" in unit["Service"]["ExecStart"]) != ("StateDirectory" in unit["Service"])
    if shutil.which("systemd-analyze"):
        # Replace the command's path, which does not exist on this machine.
        for sibling in path.parent.glob("*.*"):
            text = sibling.read_text().replace("/opt/quintile/.venv/bin/quintile", "/bin/true")
            (tmp_path / sibling.name).write_text(text)
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", tmp_path / path.name],
            capture_output=True,
            text=True,
            check=False,
        )
        complaints = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
        assert (done.returncode, complaints) == (0, []), done.stderr


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: path.name)
def test_python_examples_compile_without_undefined_names(path: Path) -> None:
    compile(path.read_text(), path.name, "exec")
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select=F,E9", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_models_and_sources_in_the_dagster_example_exist() -> None:
    text = (EXAMPLES / "dagster_definitions.py").read_text()
    # Dagster needs the type of a context, not a string.
    assert "from __future__" not in text
    (model,) = re.findall(r'get_asset_key_for_model\(\[models\], "(\w+)"\)', text)
    assert list((PROJECT_DIR / "models").rglob(f"{model}.sql"))
    (listed,) = set(re.findall(r"for table in \(([^)]+)\)", text))
    sources = yaml.safe_load(
        (PROJECT_DIR / "models/staging/shopify/_shopify__sources.yml").read_text()
    )
    assert set(re.findall(r'"(\w+)"', listed)) == {
        table["name"] for table in sources["sources"][0]["tables"]
    }


def test_the_github_workflow_is_valid() -> None:
    workflow = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text())
    # YAML reads the key `on` as true.
    assert all(croniter.is_valid(item["cron"]) for item in workflow[True]["schedule"])
    steps = {name: job["steps"] for name, job in workflow["jobs"].items()}
    assert all(("uses" in step) != ("run" in step) for job in steps.values() for step in job)
    assert steps["check"][-1]["run"] == "dbt --warn-error build --target dev --empty"
    assert any("quintile build" in step.get("run", "") for step in steps["daily"])


@pytest.mark.parametrize(("exit_code", "is_mailed"), [(0, False), (3, False), (1, True)])
def test_cron_mails_only_failures(exit_code: int, is_mailed: bool, tmp_path: Path) -> None:
    """cron mails all output of a command, here every minute."""
    command = tmp_path / "quintile"
    command.write_text(f"#!/bin/sh\necho '{{}}'\necho progress >&2\nexit {exit_code}\n")
    command.chmod(0o755)
    (tmp_path / "env").write_text("export QUINTILE_HOME=/var/lib/quintile\n")
    lines = (EXAMPLES / "crontab").read_text().splitlines()
    for line in (line for line in lines if "--json" in line):
        _, _, work = line.partition(" quintile  ")
        for path in ("/etc/quintile", "/var/log/quintile"):
            work = work.replace(path, str(tmp_path))
        done = subprocess.run(
            ["/bin/sh", "-c", work],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert bool(done.stdout + done.stderr) is is_mailed, line
    assert "{}" in (tmp_path / "jobs.jsonl").read_text()


def test_the_crontab_is_valid() -> None:
    lines = (EXAMPLES / "crontab").read_text().splitlines()
    jobs = [line for line in lines if "quintile  ." in line]
    assert len(jobs) == 7
    assert all(croniter.is_valid(" ".join(line.split()[:5])) for line in jobs)
    # In cron, a percent sign ends the command.
    assert "%" not in "".join(jobs)


def _alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((EXAMPLES / "alerts.yml").read_text())["groups"]
    return group["rules"]


def test_every_alert_is_documented() -> None:
    explained = re.findall(r"^\| `(Quintile\w+)` \|", DOCS[1].read_text(), re.MULTILINE)
    assert explained == [rule["alert"] for rule in _alerts()]


def test_metrics_in_alerts_and_docs_exist() -> None:
    from service.core import metrics
    from service.worker import metrics as worker_metrics

    declared = {family.name for family in metrics.registry.collect()}
    declared |= set(re.findall(r'"(quintile_\w+)"', Path(worker_metrics.__file__).read_text()))
    known = {
        name + suffix for name in declared for suffix in ("", "_total", "_count", "_sum", "_bucket")
    }
    used = set(re.findall(r"quintile_\w+", " ".join(rule["expr"] for rule in _alerts())))
    documented = set(re.findall(r"`(quintile_\w+)[`{]", DOCS[1].read_text()))
    assert used <= known
    assert documented - {"quintile_owner", "quintile_transform", "quintile_app"} <= known
    assert declared <= {name.removesuffix("_total") for name in documented}
