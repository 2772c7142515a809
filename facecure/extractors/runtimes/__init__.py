"""What executes an extractor."""
