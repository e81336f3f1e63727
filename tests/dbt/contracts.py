"""Hold the contracts of public marts: ``python -m tests.dbt.contracts [--record] [manifest.json]``.

``contracts.csv`` has the key and the columns of each mart as they were given to its readers. A
column or mart that is gone or has another type, and a key that differs, break what they have built.
Such a change needs a new version of the model beside the old one; docs/marts.md says how. New marts
and columns break nothing, and ``--record`` adds them to the file.

Prints one line per violation of the manifest written by `dbt parse`, and exits with 1 if there is
any.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.dbt.check_manifest import Manifest, Node, is_mart, models_of

FILE = Path(__file__).with_name("contracts.csv")
FIELDS = ["mart", "version", "column", "data_type"]
# Stands for the key among a mart's columns.
KEY = "(key)"
SAME_TYPES = {"int": "integer", "bool": "boolean", "timestamp with time zone": "timestamptz"}

# Data types by column, by mart and version.
Contracts = dict[tuple[str, str], dict[str, str]]


def public_marts(manifest: Manifest) -> list[Node]:
    """Return the marts that other projects may read."""
    return [model for model in models_of(manifest) if is_mart(model) and _is_public(model)]


def contracts_of(manifest: Manifest) -> Contracts:
    """Return the contracts in a manifest. A mart without versions is version 1."""
    return {
        (mart["name"], _version(mart)): {
            KEY: ", ".join(mart["config"].get("unique_key") or []),
            **{name: _type(column) for name, column in mart["columns"].items()},
        }
        for mart in public_marts(manifest)
    }


def read(path: Path) -> Contracts:
    """Return the recorded contracts."""
    recorded: Contracts = {}
    if not path.exists():
        return recorded
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            columns = recorded.setdefault((row["mart"], row["version"]), {})
            columns[row["column"]] = row["data_type"]
    return recorded


def record(contracts: Contracts, path: Path) -> None:
    """Write contracts to the file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FIELDS)
        for (mart, version), columns in sorted(contracts.items()):
            writer.writerows([mart, version, name, kind] for name, kind in columns.items())


def broken(recorded: Contracts, current: Contracts) -> Iterator[str]:
    """Yield the changes that break what readers of a mart have built."""
    for (mart, version), columns in recorded.items():
        now = current.get((mart, version))
        if now is None:
            yield (
                f"{mart} has no version {version} any more. Keep it as a view until its"
                f" deprecation_date; after that day, take its lines out of {FILE.name}."
            )
            continue
        for name, kind in columns.items():
            if now.get(name) != kind:
                found = f"is {now[name]}" if name in now else "is gone"
                yield (
                    f"{mart}: {name} was {kind} and {found}. Leave it as it was, or make the"
                    f" change in a new version of {mart} and keep this one as a view with a"
                    f" deprecation_date (docs/marts.md, Changes of contracts)."
                )


def undated(manifest: Manifest) -> Iterator[str]:
    """Yield versions that are not the latest, and are no views or have no deprecation_date."""
    for mart in public_marts(manifest):
        is_old = mart.get("version") != mart.get("latest_version")
        if is_old and not mart.get("deprecation_date"):
            yield f"{mart['name']} has the old version {_version(mart)} without a deprecation_date."
        if is_old and mart["config"].get("materialized") != "view":
            yield f"{mart['name']} has the old version {_version(mart)}, which is not a view."


def unrecorded(recorded: Contracts, current: Contracts) -> Iterator[str]:
    """Yield what the file lacks."""
    for key, columns in current.items():
        missing = [name for name in columns if name not in recorded.get(key, {})]
        if missing:
            yield (
                f"{key[0]} has {', '.join(missing)}, which {FILE.name} does not list. Run"
                " `python -m tests.dbt.contracts --record`."
            )


def _version(mart: Node) -> str:
    return str(mart.get("version") or 1)


def _is_public(model: Node) -> bool:
    return "public" in {model.get("access"), model["config"].get("access")}


def _type(column: Node) -> str:
    kind = (column.get("data_type") or "").lower()
    return SAME_TYPES.get(kind, kind)


def main(arguments: list[str], file: Path = FILE) -> int:
    """Check the manifest given on the command line, or record it, and return the exit status."""
    paths = [argument for argument in arguments if argument != "--record"]
    path = Path(paths[0] if paths else "target/manifest.json")
    if not path.exists():
        print(f"{path} does not exist. Run `dbt parse` first.")
        return 1
    manifest = json.loads(path.read_text(encoding="utf-8"))
    recorded, current = read(file), contracts_of(manifest)
    found = [*broken(recorded, current), *undated(manifest)]
    if "--record" in arguments and not found:
        record(current, file)
    else:
        found += unrecorded(recorded, current)
    for breach in found:
        print(breach)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
