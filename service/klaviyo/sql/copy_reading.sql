-- Fills in what Klaviyo answered.
copy pg_temp.klaviyo_reading (profile_id, email, joined_at, is_suppressed) from stdin
