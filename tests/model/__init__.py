"""A model of a target, and machines that type any commands and compare."""
