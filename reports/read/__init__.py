"""Readers of the tables in results/ and of the papers' numbers."""
