-- Fills the table the members wait in.
copy pg_temp.incoming_members (customer_id, email, display_name, marketing_state) from stdin
