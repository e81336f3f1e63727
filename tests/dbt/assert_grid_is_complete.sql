-- Each of the 25 cells of recency and frequency score has exactly one segment, the first one whose
-- rule matches, and every segment has a cell.
with

cells as (
    select
        r_score,
        f_score
    from generate_series(1, 5) as r_score
    cross join generate_series(1, 5) as f_score
),

rules (segment, r_low, r_high, f_low, f_high) as (
    values
    ('champions', 4, 5, 4, 5),
    ('loyal', 3, 5, 3, 5),
    ('new', 4, 5, 1, 2),
    ('at_risk', 1, 2, 3, 5),
    ('hibernating', 1, 2, 1, 2),
    ('potential', 3, 3, 1, 2)
),

segments as (
    select * from {{ ref('rfm_segments') }}
),

expected as (
    select distinct on (c.r_score, c.f_score)
        c.r_score,
        c.f_score,
        s.segment
    from cells as c
    inner join rules as r
        on c.r_score between r.r_low and r.r_high and c.f_score between r.f_low and r.f_high
    inner join segments as s on r.segment = s.segment
    order by c.r_score, c.f_score, s.priority
),

grid as (
    select
        r_score,
        f_score,
        segment
    from {{ ref('rfm_segment_grid') }}
),

missing as (
    select * from expected
    except all
    select * from grid
),

unexpected as (
    select * from grid
    except all
    select * from expected
)

select
    r_score,
    f_score,
    segment
from missing

union all

select
    r_score,
    f_score,
    segment
from unexpected
