"""A database server that vanishes is noticed, in the service's connections and in dbt's."""

from __future__ import annotations

from psycopg.conninfo import conninfo_to_dict

from service.core.config import PROJECT_DIR, Settings
from service.core.db import connect, create_pool, kept_alive
from service.worker.tasks import worker_app


def test_connections_have_keepalives_unless_the_url_has_its_own() -> None:
    url = "postgresql://ada:s%40fe@db.example.com:5432/shop?application_name=x"
    found = conninfo_to_dict(kept_alive(url))
    assert found["password"] == "s@fe"
    assert found["application_name"] == "x"
    assert [found[f"keepalives_{name}"] for name in ("idle", "interval", "count")] == [
        "30",
        "10",
        "3",
    ]
    assert conninfo_to_dict(kept_alive(f"{url}&keepalives_idle=5"))["keepalives_idle"] == "5"


def test_every_connection_of_the_service_has_them(settings: Settings) -> None:
    with connect(settings.database_url) as conn:
        assert conn.info.get_parameters()["keepalives_idle"] == "30"
    pool = create_pool(settings)
    try:
        with pool.connection() as conn:
            assert conn.info.get_parameters()["keepalives_idle"] == "30"
        connector = worker_app(settings, pool).connector
        assert "keepalives_idle=30" in connector._pool_args["conninfo"]  # type: ignore[attr-defined]
    finally:
        pool.close()


def test_dbt_has_them() -> None:
    assert "keepalives_idle: 60" in (PROJECT_DIR / "profiles.yml").read_text()
