"""Fine-tuning of extractors: batches, a classifier's head, the loop; used by recognisers and countermeasures."""
