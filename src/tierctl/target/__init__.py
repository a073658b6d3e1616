"""One target on disk: its paths, who is believed there, what its links say."""
