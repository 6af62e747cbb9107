"""Any checkpoint to parameters under canonical names, and where checkpoints come from."""
