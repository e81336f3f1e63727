"""Building the models: running dbt, build locks, shared builds and backfill."""
