"""Pictures in, cloaked pictures out: plan → run → write for folders, `arrays` for faces in memory."""
