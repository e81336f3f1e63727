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


# -- models -------------------------------------------------------------------------------------


def unjoined_tables(statement: str, common: frozenset[str]) -> list[str]:
    """The relations of a model's query whose rows may meet those of other tenants.

    A model computes many tenants at once. In each of its queries all relations with tenants,
    subqueries and CTEs too, have to have equal tenants, and what is grouped, partitioned or made
    distinct is so by tenant.

    Args:
        statement: One SQL statement, as dbt runs it.
        common: Tables that have no tenants.
    """
    checker = _ModelChecker(common)
    for raw in parse_sql(statement):
        checker.check(raw.stmt, _Scope())
    return checker.findings


class _ModelChecker(_Checker):
    def __init__(self, common: frozenset[str]) -> None:
        super().__init__(common, is_for_all=True)
        # Of each CTE in sight: whether it has tenants.
        self.ctes: dict[str, bool] = {}
        self.is_in_function = False

    def _ctes(self, node: Any, outer: _Scope) -> None:
        for cte in node.withClause.ctes if node.withClause is not None else ():
            self.ctes[cte.ctename] = self._has_tenants(cte.ctequery)
            self._check(cte.ctequery, outer, is_for_all=True)

    def _check(self, node: Any, outer: _Scope, *, is_for_all: bool) -> None:
        before, self.is_for_all = self.is_for_all, is_for_all
        self.check(node, outer)
        self.is_for_all = before

    def check(self, node: Any, outer: _Scope) -> None:
        """Check a statement and everything in it."""
        if isinstance(node, ast.MergeStmt):
            # It joins as a deletion does.
            node = ast.DeleteStmt(
                relation=node.relation,
                usingClause=(node.sourceRelation,),
                whereClause=node.joinCondition,
            )
        super().check(node, outer)

    def _query(self, node: Any, outer: _Scope, sources: Any) -> None:
        super()._query(node, outer, sources)
        is_with_tenants = any(self._is_with_tenants(relation) for _, relation in _from(sources))
        if self.is_for_all and is_with_tenants and isinstance(node, ast.SelectStmt):
            self.findings += [f"({what})" for what in _ungrouped(node)]

    def _source(
        self, source: Any, scope: _Scope, tables: dict[str, str], conditions: list[Any]
    ) -> None:
        super()._source(source, scope, tables, conditions)
        for alias, relation in _from((source,)):
            tables.pop(alias, None)
            scope.relations[alias] = self._is_with_tenants(relation)
            if scope.relations[alias]:
                tables[alias] = alias

    def _nested(self, node: Any, scope: _Scope) -> None:
        match node:
            case ast.RangeSubselect():
                is_for_all = not node.lateral or self._is_with_tenants(node)
                self._check(node.subquery, scope, is_for_all=is_for_all)
            case ast.RangeFunction():
                # A function that gives rows with tenants may take those of all.
                self.is_in_function = self._is_with_tenants(node)
                super()._nested(node, scope)
                self.is_in_function = False
            case ast.SubLink():
                if node.testexpr is not None:
                    self._nested(node.testexpr, scope)
                # What is compared with the tenant of its rows, and what only lists tenants.
                is_by_tenant = _names_tenant(_parts(node.testexpr)) or _lists_tenants(
                    node.subselect
                )
                self._check(node.subselect, scope, is_for_all=is_by_tenant or self.is_in_function)
            case _:
                super()._nested(node, scope)

    def _is_with_tenants(self, source: Any) -> bool:
        """Whether the rows of a relation in a FROM clause may be of several tenants here."""
        is_lateral = isinstance(source, ast.RangeSubselect) and source.lateral
        return self._shows_tenants(source) and not (
            is_lateral and self._is_of_one_tenant(source.subquery)
        )

    def _shows_tenants(self, source: Any) -> bool:
        """Whether a relation in a FROM clause has tenants in it."""
        match source:
            case ast.RangeVar(schemaname=None):
                # The rows that dbt is about to write into a table.
                return self.ctes.get(source.relname, "__dbt_tmp" in source.relname)
            case ast.RangeVar():
                name = f"{source.schemaname}.{source.relname}"
                return source.schemaname in _SCHEMAS and name not in self.common
            case ast.RangeSubselect():
                return self._has_tenants(source.subquery)
            case ast.RangeFunction():
                return any(column.colname == "tenant_id" for column in source.coldeflist or ())
        return False

    def _is_of_one_tenant(self, query: Any) -> bool:
        """Whether a lateral subquery reads only rows of its outer query's tenant."""
        before, self.findings = self.findings, []
        self._check(query, _Scope(), is_for_all=False)
        is_of_one, self.findings = not self.findings, before
        return is_of_one

    def _has_tenants(self, query: Any) -> bool:
        """Whether the rows of a query have a column ``tenant_id``."""
        if query.larg is not None:
            return self._has_tenants(query.larg)
        for cte in query.withClause.ctes if query.withClause is not None else ():
            self.ctes[cte.ctename] = self._has_tenants(cte.ctequery)
        for target in query.targetList or ():
            is_column = isinstance(target.val, ast.ColumnRef)
            if target.name == "tenant_id" or (is_column and _last(target.val) == "tenant_id"):
                return True
            if is_column and _last(target.val) == "*":
                of = target.val.fields[0].sval if len(target.val.fields) > 1 else None
                relations = _from(query.fromClause or ())
                if any(
                    of in (None, alias) and self._shows_tenants(one) for alias, one in relations
                ):
                    return True
        return False


def _from(sources: Any) -> Iterator[tuple[str, Any]]:
    """Alias and node of each relation in a FROM clause."""
    for source in sources:
        if isinstance(source, ast.JoinExpr):
            yield from _from((source.larg, source.rarg))
        else:
            for alias in _aliases(source):
                yield alias, source


def _ungrouped(query: Any) -> Iterator[str]:
    """What a query over several tenants groups, partitions or makes distinct across them."""
    if query.groupClause and not _names_tenant(query.groupClause):
        yield "group by"
    on = [part for part in query.distinctClause or () if part is not None]
    if on and not _names_tenant(on):
        yield "distinct on"
    # Those that name a window of the clause partition as it does.
    used = [each for each in _windows(query.targetList) if not (each.name or each.refname)]
    for window in (*used, *(query.windowClause or ())):
        if not _names_tenant(window.partitionClause or ()):
            yield "partition by"


def _windows(node: Any) -> Iterator[Any]:
    """The windows in expressions, but not those of subqueries."""
    for child in _children(node):
        if isinstance(child, ast.WindowDef):
            yield child
        elif not isinstance(child, ast.SelectStmt):
            yield from _windows(child)


def _names_tenant(expressions: Any) -> bool:
    return any(
        isinstance(part, ast.ColumnRef) and _last(part) == "tenant_id" for part in expressions
    )


def _lists_tenants(query: Any) -> bool:
    return len(query.targetList or ()) == 1 and _names_tenant([query.targetList[0].val])
