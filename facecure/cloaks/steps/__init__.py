"""What an iteration computes besides the networks: native passes, each with its twin in torch or numpy."""
