-- The size of Shopify segments and pulled lists at the reading before, for the change since then.

alter table app.segment_sizes
add column read_at timestamptz,
add column previous_members integer;

comment on column app.segment_sizes.read_at is
'When the reading that found the members began; null in rows of former releases.';
comment on column app.segment_sizes.previous_members is
'Members at the reading before that one; null if there was none.';
