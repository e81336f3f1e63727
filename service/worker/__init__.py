"""What runs in the background: the tasks, the scheduler and the fair queue."""
