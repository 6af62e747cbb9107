"""Fine-tuning, in PyTorch."""
