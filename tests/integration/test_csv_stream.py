"""The CSV files of the API and the command line."""

from __future__ import annotations

from psycopg import sql

from service.core.csv_stream import stream_csv
from service.core.db import Connection

# Every kind of field that needs care, in enough rows for several blocks.
ODD = sql.SQL(
    """
    select
        n as id,
        (array[
            null, '', ' ', 'plain', 'a,b', 'say "hi"', 'two' || chr(10) || 'lines', 'a' || chr(13),
            ' spaces ' || chr(13), 'Möller', '-5', '\\.'
        ])[1 + mod(n, 12)] as words,
        case when mod(n, 3) > 0 then n / 4::numeric end as amount,
        (mod(n, 2) = 0)::text as is_even
    from generate_series(1, 2500) as n
    order by n
    """
)


def test_csv_is_the_same_as_postgresqls_own(owner: Connection) -> None:
    with owner.transaction(), owner.cursor() as cursor:
        written = b"".join(stream_csv(owner, ODD, {}))
        copy = sql.SQL("copy ({}) to stdout with (format csv, header true)").format(ODD)
        with cursor.copy(copy) as blocks:
            assert written == b"".join(map(bytes, blocks))


def test_a_query_without_rows_gives_the_header(owner: Connection) -> None:
    with owner.transaction():
        blocks = list(stream_csv(owner, sql.SQL("select 1 as a, 2 as b where false"), {}))
    assert blocks == [b"a,b\n"]


def test_formulas_are_escaped_and_lists_joined(owner: Connection) -> None:
    statement = sql.SQL(
        """
        select
            '=1+1' as formula,
            array['+a', null, 'b,c'] as tags,
            -5 as number,
            timestamptz '2026-07-01 12:00:00+00' at time zone 'UTC' as at,
            'left out' as hidden
        """
    )
    with owner.transaction():
        [block] = stream_csv(owner, statement, {}, ("formula", "tags", "number", "at"))
    assert block.decode().splitlines() == [
        "formula,tags,number,at",
        "'=1+1,\"'+a;;b,c\",-5,2026-07-01T12:00:00",
    ]


def test_every_item_of_a_list_is_escaped_and_numbers_are_not(owner: Connection) -> None:
    texts = {
        "=1+1": "'=1+1",
        "@SUM(A1)": "'@SUM(A1)",
        "-2+3": "'-2+3",
        "+cmd": "'+cmd",
        "\t=1": "'\t=1",
        "\uff1d1": "'\uff1d1",
        "+4915112345678": "+4915112345678",
        "-5.25": "-5.25",
        "a=1": "a=1",
    }
    statement = sql.SQL("select %(texts)s::text[] as joined, 'x' as plain")
    with owner.transaction():
        [block] = stream_csv(owner, statement, {"texts": list(texts)})
    assert block.decode() == "joined,plain\n" + ";".join(texts.values()) + ",x\n"
