"""The mattes: the three networks, what they are fed, and what steadies them."""
