"""KEEP: one book per file: its tables, its questions, and the rules under which it changes."""
