"""Removing deployments and cached packages that nobody needs."""
