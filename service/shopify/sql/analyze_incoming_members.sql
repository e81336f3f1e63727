-- A temporary table has no statistics, without which a million members are compared one by one.
analyze pg_temp.incoming_members
