"""Tests of the report in a real browser, without a network."""
