-- A tenant's own RFM segments, and which scores make which segment. A tenant without rows has the
-- published ones, the seeds rfm_segments and rfm_segment_grid.

create table app.rfm_segments (
    tenant_id uuid not null,
    segment text not null,
    label text not null,
    colour text not null,
    priority smallint not null,
    description text not null default '',
    suggested_action text not null default '',
    updated_at timestamptz not null default now(),
    updated_by text not null,
    constraint rfm_segments_pkey primary key (tenant_id, segment),
    constraint rfm_segments_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint rfm_segments_priority_key unique (tenant_id, priority),
    constraint rfm_segments_segment_check check (
        segment ~ '^[a-z][a-z0-9_]{0,39}$' and segment <> 'none'
    ),
    constraint rfm_segments_label_check check (
        label = btrim(label) and length(label) between 1 and 60
    ),
    constraint rfm_segments_colour_check check (colour ~ '^#[0-9a-f]{6}$'),
    constraint rfm_segments_priority_check check (priority >= 1)
);

comment on table app.rfm_segments is
'A tenant''s own RFM segments. A tenant without rows has the published ones.';
comment on column app.rfm_segments.segment is
'Key in data and URLs. none is reserved for customers who are in no segment.';
comment on column app.rfm_segments.colour is 'sRGB colour as #rrggbb, in lower case.';
comment on column app.rfm_segments.priority is 'Sort order in lists; 1 is first.';

create table app.rfm_segment_grid (
    tenant_id uuid not null,
    r_score smallint not null,
    f_score smallint not null,
    m_score smallint,
    segment text not null,
    constraint rfm_segment_grid_key unique nulls not distinct (
        tenant_id, r_score, f_score, m_score
    ),
    constraint rfm_segment_grid_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint rfm_segment_grid_segment_fkey foreign key (tenant_id, segment)
    references app.rfm_segments (tenant_id, segment) on delete cascade,
    constraint rfm_segment_grid_scores_check check (
        r_score between 1 and 5 and f_score between 1 and 5 and m_score between 1 and 5
    )
);

comment on table app.rfm_segment_grid is
'Which scores make which of the tenant''s own segments; each combination has exactly one.';
comment on column app.rfm_segment_grid.m_score is 'Monetary score; null: any.';

call app.protect('app.rfm_segments');
call app.protect('app.rfm_segment_grid');

grant select on app.rfm_segments, app.rfm_segment_grid to quintile_transform;
grant select, insert, delete on app.rfm_segments, app.rfm_segment_grid to quintile_app;
