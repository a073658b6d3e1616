"""What a target is and holds, found out without changing it."""
