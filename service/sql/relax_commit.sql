-- Nobody waits for the disk: a count lost in a crash is made good by Shopify's next answer.
select set_config('synchronous_commit', 'off', true)
