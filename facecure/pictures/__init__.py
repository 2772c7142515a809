"""From pictures on disk to faces."""
