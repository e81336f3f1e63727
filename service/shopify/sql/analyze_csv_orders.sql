-- A temporary table has no statistics, without which its lines are compared one by one.
analyze pg_temp.csv_orders
