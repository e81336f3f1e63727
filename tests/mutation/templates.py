"""A plugin of pytest: template databases are made once for all mutations.

A mutation meets a database that was made without it. Only a mutation of what databases are made of
(guards.py: files in ``sql/``) has templates of its own.
"""

from __future__ import annotations

import os

from tests import cluster
from tests.mutation import TEMPLATES

_digest = os.environ[TEMPLATES]

cluster.schema_digest = lambda: f"{_digest}_schema"
cluster.models_digest = lambda: f"{_digest}_models"
cluster.demo_digest = lambda: f"{_digest}_demo"
