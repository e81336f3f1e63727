"""The benchmark's kinds of statements, for text as dbt sends it."""

from __future__ import annotations

import pglast
import pytest

from tests.bench.statements import kind_of

SENT = """/* {"app": "dbt", "node_id": "model.quintile.rfm_grid"} */
    -- A new table; insert into nothing.
    create temporary table "rfm_grid__dbt_tmp" as (select 'a;b' as name);
    create  table t (n int);
    INSERT INTO t select 1;
    analyze t (n);
    lock table t in share mode;
    do $$ begin delete from t; end $$;
    delete from t as existing where true;
    select set_config('a', 'b', true);
    /* merge */ merge into t using u on true when not matched then do nothing;
    create temporary view contract_columns as select 1;
    COMMIT"""


def test_each_statement_has_its_kind() -> None:
    kinds = [kind_of(statement) for statement in pglast.split(SENT, with_parser=False)]
    assert kinds == [
        *("query", "query", "query", "analyze", "hooks", "hooks", "delete", "other", "merge"),
        *("other", "commit"),
    ]


@pytest.mark.parametrize("word", ["dot", "insertion", "settle"])
def test_a_kind_is_a_whole_word(word: str) -> None:
    assert kind_of(f"{word} 1") == "other"
