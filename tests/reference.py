"""Orders with a published answer, in the columns of an import."""

from __future__ import annotations

import csv
from pathlib import Path


def orders_file(shared: Path, directory: Path) -> Path:
    """Write the orders that come with the R package rfm to orders.csv in the directory."""
    path = directory / "orders.csv"
    with (
        (shared / "data/rfm/rfm_data_orders.csv").open(newline="") as source,
        path.open("w", newline="") as target,
    ):
        writer = csv.writer(target)
        writer.writerow(["order_id", "customer_id", "processed_at", "total"])
        for number, row in enumerate(csv.DictReader(source), start=1):
            writer.writerow([number, row["customer_id"], row["order_date"], row["revenue"]])
    return path
