"""Uses the generated client as a program would. Arguments: the service's URL and a token."""

from __future__ import annotations

import json
import sys
from uuid import UUID

from quintile_client import AuthenticatedClient
from quintile_client.api.creators import add_creator, list_creators, show_creator
from quintile_client.models import (
    Creator,
    CreatorsPage,
    NewCreator,
    NewCreatorPlatform,
    NotFoundProblem,
)

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"

client = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2])
body = NewCreator(handle="ada", platform=NewCreatorPlatform.TIKTOK)
first, again = (add_creator.sync(client=client, body=body, idempotency_key=KEY) for _ in range(2))
page = list_creators.sync(client=client, limit=10)
missing = show_creator.sync(UUID(KEY), client=client)
assert isinstance(first, Creator)
assert isinstance(page, CreatorsPage)
assert isinstance(missing, NotFoundProblem)
print(
    json.dumps(
        {
            "same": first == again,
            "handles": [creator.handle for creator in page.data],
            "problem": missing.status,
        }
    )
)
