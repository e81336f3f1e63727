"""The Klaviyo sandbox answers as Klaviyo's OpenAPI description says.

The description at hand is of revision 2026-07-15. Revision 2026-10-15, which Quintile asks for,
differs in nothing that is compared here: its contract are the models of the official client, in
test_klaviyo.py and test_klaviyo_requests.py.
"""

from __future__ import annotations

import re
from typing import Any

import httpx
import jsonschema
import pytest

from sandbox import Sandbox
from sandbox.klaviyo.limits import Limit
from sandbox.klaviyo.operations import OPERATIONS, Operation

# Plain HTTP on loopback: loading certificates for each call would take longer than the call.
HTTP = httpx.Client(verify=False)  # noqa: S501
PROFILE = {"type": "profile", "attributes": {"email": "a@example.com", "first_name": "Änne"}}


def call(sandbox: Sandbox, method: str, path: str, body: Any = None) -> httpx.Response:
    account = next(iter(sandbox.accounts.values()))
    return HTTP.request(
        method,
        sandbox.klaviyo_url + path,
        json=body,
        headers={
            "Authorization": f"Klaviyo-API-Key {account.key}",
            "revision": "2026-10-15",
            "Content-Type": "application/vnd.api+json",
        },
    )


def without_nulls(value: Any) -> Any:
    """OpenAPI 3.0 marks nullable values apart from their type; here null counts as absent."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def check(openapi: dict[str, Any], template: str, response: httpx.Response) -> None:
    """Check that an answer is declared for its operation and valid for its schema."""
    method = response.request.method.lower()
    declared = openapi["paths"][template][method]["responses"]
    content = declared[str(response.status_code)].get("content")
    if content is None:
        assert response.text == ""
        return
    [(media_type, description)] = content.items()
    assert response.headers["Content-Type"] == media_type
    schema = {**description["schema"], "components": openapi["components"]}
    jsonschema.validate(without_nulls(response.json()), schema, jsonschema.Draft4Validator)


READS = [
    ("/api/accounts", "/api/accounts"),
    ("/api/lists", "/api/lists"),
    ("/api/lists/{id}", "/api/lists/NG0001"),
    ("/api/lists/{id}", "/api/lists/NG0001?additional-fields[list]=profile_count"),
    ("/api/lists/{id}/profiles", "/api/lists/NG0001/profiles"),
    ("/api/lists/{id}/relationships/profiles", "/api/lists/NG0001/relationships/profiles"),
    ("/api/profiles", "/api/profiles?additional-fields[profile]=subscriptions"),
    ("/api/profile-bulk-import-jobs", "/api/profile-bulk-import-jobs"),
]


@pytest.mark.parametrize(("template", "path"), READS)
def test_reads_match_klaviyos_description(
    template: str, path: str, sandbox: Sandbox, klaviyo_openapi: dict[str, Any]
) -> None:
    response = call(sandbox, "GET", path)
    assert response.status_code == 200
    check(klaviyo_openapi, template, response)


def test_writes_match_klaviyos_description(
    sandbox: Sandbox, klaviyo_openapi: dict[str, Any]
) -> None:
    created = call(sandbox, "POST", "/api/profiles", {"data": PROFILE})
    check(klaviyo_openapi, "/api/profiles", created)
    imported = call(sandbox, "POST", "/api/profile-import", {"data": PROFILE})
    assert imported.status_code == 200
    check(klaviyo_openapi, "/api/profile-import", imported)
    profile_id = created.json()["data"]["id"]
    members = {"data": [{"type": "profile", "id": profile_id}]}
    for method in ("POST", "DELETE"):
        changed = call(sandbox, method, "/api/lists/NG0002/relationships/profiles", members)
        assert changed.status_code == 204
        check(klaviyo_openapi, "/api/lists/{id}/relationships/profiles", changed)
    new_list = {"data": {"type": "list", "attributes": {"name": "Neu"}}}
    check(klaviyo_openapi, "/api/lists", call(sandbox, "POST", "/api/lists", new_list))
    patched = {**PROFILE, "id": profile_id}
    answer = call(sandbox, "PATCH", f"/api/profiles/{profile_id}", {"data": patched})
    check(klaviyo_openapi, "/api/profiles/{id}", answer)


def test_imports_and_their_errors_match_klaviyos_description(
    sandbox: Sandbox, klaviyo_openapi: dict[str, Any]
) -> None:
    next(iter(sandbox.accounts.values())).fail_import_of("a@example.com")
    job = {
        "type": "profile-bulk-import-job",
        "attributes": {"profiles": {"data": [PROFILE]}},
        "relationships": {"lists": {"data": [{"type": "list", "id": "NG0002"}]}},
    }
    base = "/api/profile-bulk-import-jobs"
    queued = call(sandbox, "POST", base, {"data": job})
    check(klaviyo_openapi, base, queued)
    job_id = queued.json()["data"]["id"]
    for _ in range(2):
        looked = call(sandbox, "GET", f"{base}/{job_id}")
        check(klaviyo_openapi, f"{base}/{{job_id}}", looked)
    errors = call(sandbox, "GET", f"{base}/{job_id}/import-errors")
    check(klaviyo_openapi, f"{base}/{{id}}/import-errors", errors)
    assert len(errors.json()["data"]) == 1


def test_errors_match_klaviyos_description(
    sandbox: Sandbox, klaviyo_openapi: dict[str, Any]
) -> None:
    declared = klaviyo_openapi["components"]["responses"]["ClientError"]["content"]
    [(media_type, description)] = declared.items()
    schema = {**description["schema"], "components": klaviyo_openapi["components"]}
    for path in ("/api/lists/none", "/api/lists/", "/api/lists?page[size]=11", "/api/nothing"):
        response = call(sandbox, "GET", path)
        assert response.is_client_error, path
        assert response.headers["Content-Type"] == "application/vnd.api+json"
        jsonschema.validate(response.json(), schema, jsonschema.Draft4Validator)
    assert media_type.startswith("application/")


@pytest.mark.parametrize("served", OPERATIONS, ids=lambda each: f"{each.method} {each.path}")
def test_paths_scopes_and_limits_match_klaviyos_description(
    served: Operation, klaviyo_openapi: dict[str, Any]
) -> None:
    template = served.path.replace("<", "{").replace(">", "}")
    paths = {
        path.replace("{job_id}", "{id}"): each for path, each in klaviyo_openapi["paths"].items()
    }
    described = paths[template][served.method.lower()]
    assert served.scopes == set(described["x-klaviyo-scopes"])
    limits = re.search(r"Burst: `(\d+)/s`<br>Steady: `(\d+)/m`", described["description"])
    assert limits is not None
    assert served.limit == Limit(int(limits[1]), int(limits[2]))
