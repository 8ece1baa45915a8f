"""Readers of the layouts that people keep their own data in, one file for each.

A reader yields what it finds wrong or doubtful, with file and line, and returns the splits.
"""
