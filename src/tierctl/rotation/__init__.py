"""The rotation, as pure values: the states of a target's links, and the steps between them."""
