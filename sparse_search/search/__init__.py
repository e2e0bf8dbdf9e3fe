"""Populations: space, groups, executors, driver."""
