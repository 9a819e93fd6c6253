"""C code and its bindings."""
