"""All that touches a disk: one protocol, what carries it out, and what that is made of."""
