"""One module a family of commands: takes settings, builds the parts, runs them."""
