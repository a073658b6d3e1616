"""A server and two clients with real NFS, and what tierctl does there."""
