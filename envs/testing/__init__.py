"""Running chosen tests of a repository in sandboxes, many times and fast."""
