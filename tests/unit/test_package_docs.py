"""Whoever installs the dbt project as a package finds every var that they can set."""

from __future__ import annotations

import re

import yaml

from tests.conftest import PROJECT_DIR

# The service sets it for itself.
INTERNAL = {"has_build_lock"}


def test_every_var_is_documented_with_its_default() -> None:
    project = yaml.safe_load((PROJECT_DIR / "dbt_project.yml").read_text(encoding="utf-8"))
    page = (PROJECT_DIR / "docs" / "package.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", page, flags=re.MULTILINE))
    for name, default in project["vars"]["quintile"].items():
        if name in INTERNAL:
            continue
        assert name in told, name
        if default in ("", []):
            # Said in words: none, all, the start of the run.
            assert not told[name].startswith("`"), name
        else:
            assert told[name].strip("`") == str(default).lower(), name
