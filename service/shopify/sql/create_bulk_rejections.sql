-- Records of a bulk operation that could not be read, with the reason.
create temporary table bulk_rejections (
    source_id text not null,
    reason text not null,
    payload jsonb not null
) on commit drop
