"""Pictures in, cloaked pictures out: plan → run → write; `batch` is what folders and arrays share."""
