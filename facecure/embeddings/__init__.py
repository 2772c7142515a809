"""Faces to tables of embeddings, computed once and kept."""
