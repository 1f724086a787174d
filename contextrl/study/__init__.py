"""The same recipe in several arms over several seeds, and what they say together."""
