"""Images that are the same, nearly the same, or alike: finding them, and clearing them away."""
