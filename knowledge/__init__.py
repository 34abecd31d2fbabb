"""KNOW: the library of legal resources and the glossary; no database session, no chat, no clock."""
