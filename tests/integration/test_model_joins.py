"""Every model joins, groups and compares rows by tenant: many tenants are built at once."""

from __future__ import annotations

import pytest

from tests.cluster import Cluster
from tests.mutation.models import findings, model_statements, without_tenant

ORDERS = "orders as (select * from shopify.orders)"
CUSTOMERS = "customers as (select tenant_id, customer_id from shopify.customers)"


@pytest.fixture(scope="module")
def statements(
    cluster: Cluster, built_template: str, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[str, str]]:
    with cluster.database(built_template) as settings:
        return [*model_statements(settings, tmp_path_factory.mktemp("dbt"))]


def test_every_model_joins_rows_of_one_tenant(statements: list[tuple[str, str]]) -> None:
    found = [(name, relations) for name, text in statements if (relations := findings(text))]
    assert found == []
    assert len({name for name, _ in statements}) > 150


def test_a_model_that_forgets_the_tenant_is_a_finding(statements: list[tuple[str, str]]) -> None:
    survivors = []
    removed = 0
    for name, text in statements:
        for changed, line in without_tenant(text):
            removed += 1
            if not findings(changed):
                survivors.append((name, line))
    assert survivors == []
    assert removed > 600


@pytest.mark.parametrize(
    "query",
    [
        "select o.* from orders as o inner join customers as c using (customer_id)",
        "select o.* from orders as o inner join customers as c on o.customer_id = c.customer_id",
        "select o.* from orders as o, customers as c where o.customer_id = c.customer_id",
        "select o.* from orders as o cross join customers as c",
        "select o.tenant_id from orders as o left join shopify.customers as c on o.id = c.id",
        "select o.* from orders as o inner join (select * from customers) as c on o.id = c.id",
        "select o.* from orders as o where exists (select from customers as c where c.id = o.id)",
        "select o.* from orders as o where o.id in (select c.id from customers as c)",
        "select o.*, (select max(c.id) from customers as c) as id from orders as o",
        "select o.*, c.id from orders as o cross join lateral"
        " (select n.id from customers as n where n.id = o.id) as c",
        "select o.*, c.id from orders as o cross join lateral"
        " (select n.* from customers as n where n.id = o.id) as c",
        "select tenant_id, rank() over (partition by customer_id order by id) from orders",
        "select tenant_id, rank() over (order by id) from orders",
        "select tenant_id, rank() over w from orders window w as (partition by customer_id)",
        "select distinct on (customer_id) * from orders order by customer_id",
        "select max(tenant_id) as tenant_id, customer_id from orders group by customer_id",
        "select * from orders union all select o.* from orders as o, customers as c",
    ],
)
def test_a_query_that_mixes_tenants_is_a_finding(query: str) -> None:
    assert findings(f"with {ORDERS}, {CUSTOMERS} {query}")


@pytest.mark.parametrize(
    "statement",
    [
        "delete from marts.orders as o"
        " where exists (select from x__dbt_tmp as i where i.id = o.id)",
        "merge into marts.orders as o using (select * from x__dbt_tmp) as i on i.id = o.id"
        " when matched then do nothing",
    ],
)
def test_a_change_that_mixes_tenants_is_a_finding(statement: str) -> None:
    assert findings(statement)
