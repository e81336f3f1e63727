"""The topics of outgoing webhooks."""

from __future__ import annotations

from typing import Literal, get_args

Topic = Literal[
    "segment.customer_entered",
    "segment.customer_left",
    "sample.found",
    "sample.fulfilled",
    "build.completed",
    "klaviyo_sync.failed",
    "klaviyo_sync.recovered",
]
TOPICS: tuple[Topic, ...] = get_args(Topic)

# What a person sends to try an endpoint; every endpoint receives it.
TEST = "test"
