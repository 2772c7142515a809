"""From faces to embeddings."""
