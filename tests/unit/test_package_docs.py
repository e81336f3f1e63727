"""The page on the dbt package lists every var that an installer can set."""

from __future__ import annotations

import re

import yaml

from tests.conftest import PROJECT_DIR

# The service sets it for itself.
INTERNAL = {"has_build_lock", "are_relations_unchanged"}


def test_every_var_is_documented_with_its_default() -> None:
    project = yaml.safe_load((PROJECT_DIR / "dbt_project.yml").read_text(encoding="utf-8"))
    page = (PROJECT_DIR / "docs" / "package.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", page, flags=re.MULTILINE))
    for name, default in project["vars"]["quintile"].items():
        if name in INTERNAL:
            continue
        assert name in documented, name
        if default in ("", [], {}):
            # Said in words: none, all, the start of the run.
            assert not documented[name].startswith("`"), name
        else:
            assert documented[name].strip("`") == str(default).lower(), name
