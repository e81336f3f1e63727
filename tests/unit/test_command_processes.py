"""Most tests run commands in their own process; each command is also run as its user runs it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

import click
import pytest

from service.cli.main import main
from service.core.config import PROJECT_DIR


def _commands(group: click.Group, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, (*prefix, name))
        else:
            yield (*prefix, name)


def _processes() -> Iterator[list[str]]:
    """The words of every command that the tests run as a process, as far as they are literal."""
    for path in (PROJECT_DIR / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id == "quintile_process":
                    yield _words(node.args[1:])
                if node.func.id == "worker_process":
                    yield ["worker"]
            if isinstance(node, ast.List):
                words = _words([item for item in node.elts if not isinstance(item, ast.Attribute)])
                if words[:2] == ["-m", "service"]:
                    yield words[2:]


def _words(arguments: Sequence[ast.expr]) -> list[str]:
    words = []
    for argument in arguments:
        if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
            break
        words.append(argument.value)
    return words


PROCESSES = list(_processes())


@pytest.mark.parametrize("command", _commands(main), ids=" ".join)
def test_every_command_is_run_as_a_process(command: tuple[str, ...]) -> None:
    assert any(tuple(words[: len(command)]) == command for words in PROCESSES)
