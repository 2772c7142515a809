"""Reports: JSON is the record, everything else is rendered from it."""
