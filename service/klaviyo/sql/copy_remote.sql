-- Fills the remote side from what Klaviyo answered.
copy pg_temp.klaviyo_remote (email, profile_id) from stdin
