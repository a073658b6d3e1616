"""The engine: a process of its own that solves, fetches and installs packages."""
