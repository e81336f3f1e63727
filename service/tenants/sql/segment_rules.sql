-- name: list_rfm_segments
-- A tenant's own segments in order of priority; no rows if it has the published ones.
select
    segment,
    label,
    colour,
    priority,
    description,
    suggested_action
from app.rfm_segments
where tenant_id = %(tenant_id)s
order by priority;

-- name: list_rfm_segment_grid
-- The cells of a tenant's own segments; no rows if it has the published ones.
select
    r_score,
    f_score,
    m_score,
    segment
from app.rfm_segment_grid
where tenant_id = %(tenant_id)s
order by r_score, f_score, m_score;

-- name: find_segment_rule_change
-- When and by whom a tenant's own rule was saved; its segments are saved together.
select
    max(updated_at) as updated_at,
    max(updated_by) as updated_by
from app.rfm_segments
where tenant_id = %(tenant_id)s;

-- name: delete_rfm_segment_grid
-- Delete the cells of a tenant's own segments.
delete from app.rfm_segment_grid
where tenant_id = %(tenant_id)s;

-- name: delete_rfm_segments
-- Delete a tenant's own segments.
delete from app.rfm_segments
where tenant_id = %(tenant_id)s;

-- name: add_rfm_segments
-- Add a tenant's own segments.
insert into app.rfm_segments (
    tenant_id,
    segment,
    label,
    colour,
    priority,
    description,
    suggested_action,
    updated_by
)
select
    %(tenant_id)s,
    s.segment,
    s.label,
    s.colour,
    s.priority,
    s.description,
    s.suggested_action,
    %(changed_by)s
from jsonb_to_recordset(%(segments)s) as s (
    segment text,
    label text,
    colour text,
    priority smallint,
    description text,
    suggested_action text
);

-- name: add_rfm_segment_grid
-- Add the cells of a tenant's own segments.
insert into app.rfm_segment_grid (tenant_id, r_score, f_score, m_score, segment)
select
    %(tenant_id)s,
    g.r_score,
    g.f_score,
    g.m_score,
    g.segment
from jsonb_to_recordset(%(grid)s) as g (
    r_score smallint,
    f_score smallint,
    m_score smallint,
    segment text
);
