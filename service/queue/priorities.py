"""Which jobs go first, and the task names that the choice of the next job depends on."""

from __future__ import annotations

# A person waits for it; a store reported it; a schedule started it. The highest goes first.
PRIORITY_PERSON, PRIORITY_WEBHOOK, PRIORITY_SCHEDULE = 10, 5, 0

BUILD_TASK = "quintile.build"
# The shared build of all tenants that are due.
DUE_BUILD_TASK = "quintile.build_due"
