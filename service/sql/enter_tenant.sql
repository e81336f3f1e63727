-- First statement of every tenant transaction; all three settings end with the transaction.
select
    set_config('app.tenant_id', %(tenant_id)s, true),
    set_config('transaction_read_only', %(read_only)s, true),
    set_config('statement_timeout', %(timeout)s, true)
