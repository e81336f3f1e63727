"""What every other package uses: settings, database, HTTP, errors, secrets, logs, metrics."""
