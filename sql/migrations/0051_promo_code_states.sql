-- Counts the targets of promo codes by state without reading the targets.
create index if not exists promo_code_targets_state_idx
on app.promo_code_targets (tenant_id, promo_code_id, state);
