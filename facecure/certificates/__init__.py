"""Whether another runtime or precision decides as the reference does."""
