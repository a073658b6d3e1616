"""What has happened in a target, what is under way, and the lock on it."""
