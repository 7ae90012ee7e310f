"""Backbones, heads, and their layers."""
