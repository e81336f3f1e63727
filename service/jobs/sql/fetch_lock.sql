-- One worker at a time looks for its next job, so that none looks at what another is taking.
select pg_advisory_xact_lock(hashtextextended('quintile fetch', 0))
