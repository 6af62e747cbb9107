"""The Vision Transformer as pure computation: parameters in, tokens out."""
