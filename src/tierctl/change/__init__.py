"""Changes of a target: from what was asked for to links that are moved and recorded."""
