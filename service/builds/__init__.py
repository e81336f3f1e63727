"""Building the models: running dbt, the locks builds take, shared builds and backfill."""
