"""Which files, functions and classes a patch touches."""
