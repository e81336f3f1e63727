"""Quintile in Dagster: every dbt model is an asset, between the synced tables and Klaviyo's lists.

The assets come from dbt's manifest, so new models appear automatically. Tables that a sync loads
are assets with the names of dbt's sources, which makes them the models' parents.

    pip install dagster dagster-dbt
    dagster dev -f dagster_definitions.py

``dagster dev`` writes the manifest. If you run Dagster otherwise, write it once per release:
``dagster-dbt project prepare-and-package --file dagster_definitions.py``.
"""

# No postponed annotations: Dagster reads the type of a context at run time.
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from dagster_dbt import DbtCliResource, DbtProject, dbt_assets, get_asset_key_for_model

CHECKOUT = "/opt/quintile"
QUINTILE = f"{CHECKOUT}/.venv/bin/quintile"
# For the manifest and dbt's logs; writable by Dagster's user.
TARGET = Path("/var/lib/quintile/dagster")
BUSY = 3

# The dbt of the checkout.
os.environ["PATH"] = f"{CHECKOUT}/.venv/bin:{os.environ['PATH']}"
project = DbtProject(project_dir=CHECKOUT, target_path=TARGET)
project.prepare_if_dev()


def run(arguments: str) -> dict[str, object]:
    """Run a command of Quintile, and return its result.

    Raises:
        dg.Failure: It failed.
        dg.RetryRequested: Another process is doing this already.
    """
    command = [QUINTILE, *arguments.split(), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    if done.returncode == BUSY:
        raise dg.RetryRequested(max_retries=10, seconds_to_wait=60)
    if done.returncode:
        raise dg.Failure(str(result["error"]), metadata={"advice": str(result["advice"])})
    return result


@dg.multi_asset(
    specs=[
        dg.AssetSpec(["shopify", table])
        for table in ("orders", "customers", "cached_segments", "segment_members", "rejected_rows")
    ]
)
def shopify() -> Iterator[dg.MaterializeResult]:
    """Tables loaded from the stores."""
    result = run("sync shopify")
    for table in ("orders", "customers", "cached_segments", "segment_members", "rejected_rows"):
        yield dg.MaterializeResult(
            asset_key=["shopify", table], metadata={"seconds": result["seconds"]}
        )


# Unit tests check the code, not the data; continuous integration runs them.
@dbt_assets(manifest=project.manifest_path, project=project, exclude="resource_type:unit_test")
def models(context: dg.AssetExecutionContext, dbt: DbtCliResource) -> Iterator[object]:
    """RFM segments, samples and the models that they use."""
    yield from dbt.cli(["build"], context=context).stream()


@dg.asset(deps=[get_asset_key_for_model([models], "customer_rfm_segments")])
def klaviyo_lists() -> dg.MaterializeResult:
    """Klaviyo lists that are synced with segments."""
    result = run("sync klaviyo")
    return dg.MaterializeResult(metadata={"seconds": result["seconds"]})


daily = dg.define_asset_job("daily", selection=dg.AssetSelection.all())

defs = dg.Definitions(
    assets=[shopify, models, klaviyo_lists],
    jobs=[daily],
    schedules=[dg.ScheduleDefinition(job=daily, cron_schedule="0 3 * * *")],
    resources={"dbt": DbtCliResource(project_dir=project)},
)
