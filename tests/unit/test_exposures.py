"""The exposures name what the service reads, so that dbt shows what a change of a mart reaches."""

from __future__ import annotations

import re

import yaml

from tests.conftest import PROJECT_DIR

# Also in a call such as to_regclass('marts.rfm_segments'), but not in prose.
READ = re.compile(r"(?:\b(?:from|join)\s+|')marts\.(\w+)", re.IGNORECASE)


def test_the_service_s_exposure_is_what_it_reads() -> None:
    read = {
        name
        for path in (PROJECT_DIR / "service").rglob("*")
        if path.suffix in (".sql", ".py")
        for name in READ.findall(path.read_text(encoding="utf-8"))
    }
    path = PROJECT_DIR / "models" / "_exposures.yml"
    (service,) = (
        exposure
        for exposure in yaml.safe_load(path.read_text(encoding="utf-8"))["exposures"]
        if exposure["name"] == "quintile_api"
    )
    named = [re.sub(r"ref\('(\w+)'\)", r"\1", of) for of in service["depends_on"]]
    assert sorted(named) == sorted(read)
