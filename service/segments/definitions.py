"""The definition of an RFM segment in words: the scores that make it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from service.tenants.segment_rules import SCORES, SegmentRule

_ANY = frozenset(SCORES)


def define_rfm_segments(rule: SegmentRule) -> dict[str, str]:
    """The definition of each of the rule's segments, such as ``R 4-5, F 4-5``.

    Alternatives are separated by semicolons. M is named only where the rule looks at it.
    """
    scores: dict[str, dict[tuple[int, int], set[int]]] = defaultdict(lambda: defaultdict(set))
    for cell in rule.grid:
        found = scores[cell.segment][cell.r_score, cell.f_score]
        found |= _ANY if cell.m_score is None else {cell.m_score}
    return {row.segment: "; ".join(_alternatives(scores[row.segment])) for row in rule.segments}


def _alternatives(cells: dict[tuple[int, int], set[int]]) -> Iterator[str]:
    """Rectangles of scores: first frequencies of one recency and spend, then alike recencies."""
    by_recency: dict[tuple[int, frozenset[int]], set[int]] = defaultdict(set)
    for (r_score, f_score), m_scores in cells.items():
        by_recency[r_score, frozenset(m_scores)].add(f_score)
    blocks: dict[tuple[frozenset[int], frozenset[int]], list[int]] = defaultdict(list)
    for (r_score, spend), f_scores in by_recency.items():
        blocks[frozenset(f_scores), spend].append(r_score)
    in_order = sorted(blocks.items(), key=lambda block: (-max(block[1]), min(block[0][0])))
    for (frequencies, spend), recencies in in_order:
        also = "" if spend == _ANY else f", M {_span(spend)}"
        yield f"R {_span(recencies)}, F {_span(frequencies)}{also}"


def _span(scores: Iterable[int]) -> str:
    """Scores in words: ``3``, ``1-2`` or ``1, 3``."""
    found = sorted(scores)
    if len(found) > 1 and found[-1] - found[0] == len(found) - 1:
        return f"{found[0]}-{found[-1]}"
    return ", ".join(str(score) for score in found)
