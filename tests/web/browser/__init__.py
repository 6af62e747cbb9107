"""The page in Chromium, served by `dinoseek serve`: what a person sees and does."""
