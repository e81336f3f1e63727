-- The demo keeps its database, while its sandbox Klaviyo account is new and empty at every start:
-- by the ledger of the last time, everybody would seem to have been taken off the list by a person.
delete from app.klaviyo_ledger
where tenant_id = %(tenant_id)s
