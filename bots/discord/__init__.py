"""Discord: what is declared, heard and said there."""
