"""The worker: tasks, the scheduler and the fair queue."""
