"""The tables of the store, and the statements on them."""
