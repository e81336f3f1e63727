"""A wheel works without a checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from service.builds.locks import project_checksum
from service.migrate import known_migrations
from tests.conftest import PROJECT_DIR
from tests.wheel import build_wheel, install

# What commands read besides Python, from the top of a checkout.
PROJECT = ("dbt_project.yml", "profiles.yml", "macros", "models", "seeds", "sql")
DATA_TESTS = (
    "tests/dbt/generic",
    *(f"tests/dbt/{p.name}" for p in PROJECT_DIR.glob("tests/dbt/*.sql")),
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(PROJECT_DIR, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(wheel, tmp_path_factory.mktemp("installed") / "venv")


def run(python: Path, directory: Path, *arguments: str, expect: int = 0) -> str:
    """Run the new environment's Python as a user without any setting."""
    done = subprocess.run(
        [python, *arguments],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": str(directory)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_wheel_has_every_file_that_commands_read(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    wanted = set()
    for name in (*PROJECT, *DATA_TESTS):
        path = PROJECT_DIR / name
        files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
        wanted |= {f"service/project/{file.relative_to(PROJECT_DIR).as_posix()}" for file in files}
    for package in ("service", "sandbox"):
        for file in (PROJECT_DIR / package).rglob("*.*"):
            if file.parent.name != "__pycache__":
                wanted.add(file.relative_to(PROJECT_DIR).as_posix())
    assert len(wanted) > 300
    assert wanted - packed == set()
    # Nor anything of the tests' own.
    assert [
        name for name in packed if "/tests/" in name and not name.endswith((".sql", ".yml"))
    ] == []


def test_the_source_distribution_has_the_whole_project(wheel: Path) -> None:
    (archive,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        names = {Path(*Path(name).parts[1:]).as_posix() for name in packed.getnames()}
    assert {"Makefile", "README.md", "constraints.txt", "tests/conftest.py"} <= names
    assert [name for name in names if name.startswith((".venv", ".quintile"))] == []


def test_an_installed_wheel_needs_no_checkout(python: Path, tmp_path: Path) -> None:
    look = (
        "import service.cli.main, service.web_server, sandbox;"
        "from service.migrate import known_migrations;"
        "from service.builds.locks import project_checksum;"
        "print(service.__file__, len(known_migrations()), project_checksum())"
    )
    file, migrations, checksum = run(python, tmp_path, "-c", look).split()
    assert file.startswith(str(python.parents[1]))
    assert (migrations, checksum) == (str(len(known_migrations())), project_checksum())

    # Another dbt project can install the directory, and dbt parses it.
    print_project = ["-m", "service", "dbt-project"]
    project = run(python, tmp_path, *print_project).strip()
    assert project.startswith(str(python.parents[1]))
    dbt = ("-m", "dbt.cli.main", "--warn-error", "parse", "--project-dir", project)
    run(python, tmp_path, *dbt, "--profiles-dir", project, "--target-path", str(tmp_path))


def test_an_incomplete_installation_says_so(python: Path, tmp_path: Path) -> None:
    broken = tmp_path / "venv"
    shutil.copytree(python.parents[1], broken, symlinks=True)
    (project,) = broken.glob("lib/python*/site-packages/service/project")
    shutil.rmtree(project / "sql")
    printed = run(broken / "bin" / "python", tmp_path, "-m", "service", "migrate", expect=1)
    assert "lacks its models and migrations" in printed
    assert "pip install" in printed
    assert "Traceback" not in printed


def test_the_container_image_has_every_file_of_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """The image is not built here, but the files that it copies give the same wheel."""
    copied = [
        line.split()[1:]
        for line in (PROJECT_DIR / "deploy" / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ")
    ]
    assert len(copied) > 5
    sent = (PROJECT_DIR / ".dockerignore").read_text().split()
    for *sources, target in copied:
        for source in sources:
            assert f"!{source}" in sent
            path, copy = PROJECT_DIR / source, tmp_path / "src" / target
            if path.is_dir():
                shutil.copytree(path, copy)
            else:
                copy.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)
    again = build_wheel(tmp_path / "src", tmp_path / "dist")
    assert set(zipfile.ZipFile(again).namelist()) == set(zipfile.ZipFile(wheel).namelist())
