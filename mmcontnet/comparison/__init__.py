"""Comparing models: paired trainings with several seeds, their results with intervals, and a report."""
