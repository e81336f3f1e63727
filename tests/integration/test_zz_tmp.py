"""run dbt unit tests of the klaviyo marts on a scratch database"""
import sys; sys.path.insert(0,'/work/k3')
from tests.integration.test_plain_dbt import dbt
def test_it(settings, tmp_path):
    print(dbt(settings.database_url, tmp_path, "build", "-s", "stg_app__klaviyo_sync_configs stg_app__klaviyo_sync_runs stg_app__klaviyo_ledger stg_app__klaviyo_list_profiles stg_app__runs klaviyo_sync_runs klaviyo_list_members")[-3000:])
