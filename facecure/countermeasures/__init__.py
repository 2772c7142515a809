"""What a searcher does about cloaks."""
