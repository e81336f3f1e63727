"""Whether an SQL statement names the tenant for every table with tenants that it touches.

The statement is parsed as PostgreSQL parses it. In each SELECT, UPDATE, DELETE and MERGE, equal
columns ``tenant_id`` form a group, and the group of each table has to hold the parameter
``tenant_id`` or the ``tenant_id`` of a subquery or of an outer query, which are checked themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pglast import ast, parse_sql
from pglast.enums import A_Expr_Kind, BoolExprType, SubLinkType

_PARAMETER = re.compile(r"%\((\w+)\)s")
# What psycopg fills in: names of tables and columns.
_COMPOSED = re.compile(r"\{\w*\}")
_SCHEMAS = frozenset({"app", "shopify", "marts", "intermediate", "staging", "klaviyo"})
# The group of what is known to be one tenant's. No alias has this name.
_KNOWN = "the tenant"


def unnamed_tables(
    statement: str, common: frozenset[str], *, is_for_all: bool = False
) -> list[str]:
    """The tables whose tenant a statement does not name.

    Args:
        statement: SQL with psycopg's parameters.
        common: Tables that have no tenants.
        is_for_all: The statement reads all tenants; its tables only have to be joined by tenant.
    """
    text = _COMPOSED.sub("composed", statement)
    text = _PARAMETER.sub(
        lambda found: "$1" if found[1] in {"tenant_id", "tenant_ids"} else "$2", text
    ).replace("%%", "%")
    checker = _Checker(common, is_for_all)
    for raw in parse_sql(text):
        checker.check(raw.stmt, _Scope())
    return checker.findings


@dataclass
class _Scope:
    """The relations of one query: what each alias stands for, and which tenants are equal."""

    outer: _Scope | None = None
    # Whether each alias is a table with tenants, not a subquery, CTE, function or common table.
    relations: dict[str, bool] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)

    def find(self, node: str) -> str:
        while (parent := self.groups.get(node, node)) != node:
            node = parent
        return node

    def join(self, one: str, other: str) -> None:
        a, b = self.find(one), self.find(other)
        if a != b:
            # The known group stays the root.
            first, second = (b, a) if b == _KNOWN else (a, b)
            self.groups[second] = first

    def node(self, alias: str | None) -> str | None:
        """The group of a column ``tenant_id``; None if it is not clear whose it is."""
        if alias is None:
            tables = [name for name, is_table in self.relations.items() if is_table]
            if len(tables) == 1:
                return tables[0]
            return _KNOWN if not tables else None
        if self.relations.get(alias):
            return alias
        # Of a subquery or an outer query, which is checked itself.
        return _KNOWN


class _Checker:
    def __init__(self, common: frozenset[str], is_for_all: bool) -> None:
        self.common = common
        self.is_for_all = is_for_all
        self.findings: list[str] = []

    def check(self, node: Any, outer: _Scope) -> None:
        """Check a statement and everything in it."""
        match node:
            case ast.SelectStmt() if node.larg is not None:
                self._ctes(node, outer)
                self.check(node.larg, outer)
                self.check(node.rarg, outer)
            case ast.SelectStmt():
                self._query(node, outer, sources=node.fromClause or ())
            case ast.UpdateStmt():
                self._query(node, outer, sources=(node.relation, *(node.fromClause or ())))
            case ast.DeleteStmt():
                self._query(node, outer, sources=(node.relation, *(node.usingClause or ())))
            case ast.InsertStmt():
                self._insert(node, outer)
            case _:
                for child in _children(node):
                    self.check(child, outer)

    def _ctes(self, node: Any, outer: _Scope) -> None:
        if node.withClause is not None:
            for cte in node.withClause.ctes:
                self.check(cte.ctequery, outer)

    def _query(self, node: Any, outer: _Scope, sources: Any) -> None:
        self._ctes(node, outer)
        scope = _Scope(outer)
        tables: dict[str, str] = {}
        conditions: list[Any] = []
        for source in sources:
            self._source(source, scope, tables, conditions)
        if node.whereClause is not None:
            conditions.append(node.whereClause)
        for condition in conditions:
            self._equate(condition, scope)
        allowed = {_KNOWN}
        if self.is_for_all and tables:
            allowed.add(scope.find(next(iter(tables))))
        for alias, table in tables.items():
            if scope.find(alias) not in allowed:
                self.findings.append(table)
        for child in _children(node):
            if child is not node.withClause:
                self._nested(child, scope)

    def _nested(self, node: Any, scope: _Scope) -> None:
        """Check the queries inside of expressions and of the FROM clause."""
        if isinstance(node, ast.SelectStmt | ast.InsertStmt | ast.UpdateStmt | ast.DeleteStmt):
            self.check(node, scope)
            return
        for child in _children(node):
            self._nested(child, scope)

    def _source(
        self, source: Any, scope: _Scope, tables: dict[str, str], conditions: list[Any]
    ) -> None:
        match source:
            case ast.RangeVar():
                alias = source.alias.aliasname if source.alias else source.relname
                name = f"{source.schemaname}.{source.relname}"
                is_table = source.schemaname in _SCHEMAS and name not in self.common
                scope.relations[alias] = is_table
                if is_table:
                    tables[alias] = name
            case ast.JoinExpr():
                self._source(source.larg, scope, tables, conditions)
                self._source(source.rarg, scope, tables, conditions)
                if source.quals is not None:
                    conditions.append(source.quals)
                if any(name.sval == "tenant_id" for name in source.usingClause or ()):
                    left = [*_aliases(source.larg)]
                    for alias in _aliases(source.rarg):
                        for other in left:
                            scope.join(scope.node(alias) or alias, scope.node(other) or other)
            case _:
                alias = getattr(source, "alias", None)
                if alias is not None:
                    scope.relations[alias.aliasname] = False

    def _equate(self, condition: Any, scope: _Scope) -> None:
        match condition:
            case ast.BoolExpr() if condition.boolop == BoolExprType.AND_EXPR:
                for part in condition.args:
                    self._equate(part, scope)
            case ast.A_Expr() if (
                condition.kind
                in (
                    A_Expr_Kind.AEXPR_OP,
                    A_Expr_Kind.AEXPR_OP_ANY,
                    A_Expr_Kind.AEXPR_IN,
                )
                and condition.name[-1].sval == "="
            ):
                self._equal(condition.lexpr, condition.rexpr, scope)
            case ast.SubLink() if condition.subLinkType == SubLinkType.ANY_SUBLINK:
                # `(tenant_id, …) in (select …)`, whose query is checked itself.
                for part in _parts(condition.testexpr):
                    node = _tenant_of(part, scope)
                    if node:
                        scope.join(node, _KNOWN)

    def _equal(self, left: Any, right: Any, scope: _Scope) -> None:
        lefts, rights = _parts(left), _parts(right)
        for one, other in zip(lefts, rights, strict=False):
            a, b = _tenant_of(one, scope), _tenant_of(other, scope)
            if a and b:
                scope.join(a, b)

    def _insert(self, node: Any, outer: _Scope) -> None:
        self._ctes(node, outer)
        name = f"{node.relation.schemaname}.{node.relation.relname}"
        is_table = node.relation.schemaname in _SCHEMAS and name not in self.common
        if is_table and not self.is_for_all:
            columns = [column.name for column in node.cols or ()]
            if "tenant_id" not in columns:
                self.findings.append(f"{name} (insert)")
            else:
                for value in _values(node.selectStmt, columns.index("tenant_id")):
                    is_column = isinstance(value, ast.ColumnRef) and _last(value) == "tenant_id"
                    if not is_column and not _is_tenant_parameter(value):
                        self.findings.append(f"{name} (insert)")
            conflict = node.onConflictClause
            if conflict is not None and conflict.infer is not None:
                targets = [element.name for element in conflict.infer.indexElems or ()]
                if targets and "tenant_id" not in targets:
                    self.findings.append(f"{name} (on conflict)")
        if node.selectStmt is not None:
            self.check(node.selectStmt, outer)
        scope = _Scope(outer, {node.relation.relname: False})
        for part in (node.onConflictClause, node.returningClause):
            if part is not None:
                self._nested(part, scope)


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, tuple | list):
        yield from (child for child in node if isinstance(child, ast.Node | tuple))
    elif isinstance(node, ast.Node):
        for name in node.__slots__:
            child = getattr(node, name, None)
            if isinstance(child, ast.Node | tuple):
                yield child


def _aliases(source: Any) -> Iterator[str]:
    match source:
        case ast.JoinExpr():
            yield from _aliases(source.larg)
            yield from _aliases(source.rarg)
        case ast.RangeVar():
            yield source.alias.aliasname if source.alias else source.relname
        case _:
            if getattr(source, "alias", None) is not None:
                yield source.alias.aliasname


def _parts(expression: Any) -> list[Any]:
    return list(expression.args) if isinstance(expression, ast.RowExpr) else [expression]


def _last(column: Any) -> str:
    return getattr(column.fields[-1], "sval", "*")


def _is_tenant_parameter(expression: Any) -> bool:
    while isinstance(expression, ast.TypeCast):
        expression = expression.arg
    return isinstance(expression, ast.ParamRef) and expression.number == 1


def _tenant_of(expression: Any, scope: _Scope) -> str | None:
    if _is_tenant_parameter(expression):
        return _KNOWN
    if isinstance(expression, ast.ColumnRef) and _last(expression) == "tenant_id":
        alias = expression.fields[-2].sval if len(expression.fields) > 1 else None
        return scope.node(alias)
    return None


def _values(query: Any, position: int) -> Iterator[Any]:
    """What an insertion puts into a column: of each row of VALUES, or of the select."""
    if query is None:
        return
    if query.larg is not None:
        yield from _values(query.larg, position)
        yield from _values(query.rarg, position)
    elif query.valuesLists:
        for row in query.valuesLists:
            yield row[position]
    else:
        targets = query.targetList or ()
        if position < len(targets):
            yield targets[position].val
