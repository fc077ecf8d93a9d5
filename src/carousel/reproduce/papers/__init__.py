"""The experiments, a file each, and what those of one paper share."""
