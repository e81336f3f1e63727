"""The daily jobs as an Airflow 3 DAG, for the DAGs folder of an Airflow worker with Quintile.

If another process is already doing a job (exit code 3), its task and those that depend on it are
skipped. The last line that a command prints, a JSON object, becomes the task's XCom value.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

QUINTILE = "/opt/quintile/.venv/bin/quintile"
BUSY = 3


def job(task_id: str, arguments: str) -> BashOperator:
    """A command of Quintile; its settings come from the environment of Airflow's worker."""
    return BashOperator(
        task_id=task_id,
        bash_command=f"{QUINTILE} {arguments} --json",
        append_env=True,
        skip_on_exit_code=BUSY,
    )


with DAG(
    dag_id="quintile",
    schedule="0 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=10)},
) as dag:
    orders = job("orders", "sync shopify --only orders")
    segments = job("segments", "sync shopify --only segments")
    build = job("build", "build")
    klaviyo = job("klaviyo", "sync klaviyo")
    housekeeping = job("housekeeping", "housekeep")

    [orders, segments] >> build >> klaviyo >> housekeeping
