-- How many members of a Shopify segment accept e-mail marketing, counted by its sync: counting them
-- for a page would read all members of all segments.

alter table app.segment_sizes
add column emailable integer;

comment on column app.segment_sizes.emailable is
'Members with an address who accept e-mail marketing; null of lists and in rows of old releases.';
