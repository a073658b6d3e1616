"""The whole story on a throw-away target, and the small conda channel that it is built from."""
