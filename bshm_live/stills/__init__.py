"""Pictures cut out one by one."""
