"""Platforms, clock and post: the only place where chat software is known."""
