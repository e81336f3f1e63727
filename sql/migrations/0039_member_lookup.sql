-- Which Shopify segments a customer is in, by one look-up. The primary key finds the members of a
-- segment.
create index if not exists segment_members_customer_idx
on shopify.segment_members (tenant_id, customer_id, segment_id);
