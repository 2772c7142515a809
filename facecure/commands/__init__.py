"""One file per question that is asked of the software: resolve, go through the stages, save."""
