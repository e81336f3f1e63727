"""Priorities of jobs, and the task names that the choice of the next job depends on."""

from __future__ import annotations

# Who asked for the job: a person, a webhook or a schedule. The highest goes first.
PRIORITY_PERSON, PRIORITY_WEBHOOK, PRIORITY_SCHEDULE = 10, 5, 0

BUILD_TASK = "quintile.build"
# The shared build of all tenants that are due.
DUE_BUILD_TASK = "quintile.build_due"
