"""What every other package may use: settings, database, HTTP, errors, secrets, logs, metrics."""
