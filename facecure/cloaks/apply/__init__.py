"""Between pictures and cloaks: what a tool sees of a photo, batches of faces, and what was written."""
