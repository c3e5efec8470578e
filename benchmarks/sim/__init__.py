"""How fast universes are."""
