"""The zoo: official weights of extractors, detectors and perceptual distances, fetched once and verified always."""
