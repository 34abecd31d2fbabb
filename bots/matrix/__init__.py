"""Matrix: what is heard there, what is said there, and who may read it."""
