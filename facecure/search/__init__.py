"""Exact nearest neighbours among embeddings, with defined ties."""
