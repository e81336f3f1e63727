-- A relay domain names at least its last two parts exactly: relay.example.com, scs*.example.com.
-- Another one matches no address. Constraints refuse it in app.rfm_settings. In a seed of another
-- project it is reported, and does not stop the build of the other tenants.
{{ config(severity='warn') }}

select
    tenant_id,
    relay_domain
from {{ ref('int_relay_domains_combined') }}
where relay_domain !~ '^([a-z0-9_*-]+\.)*[a-z0-9_-]+\.[a-z0-9-]+$'
