"""Where networks run: one file a runtime, and the choice between them."""
