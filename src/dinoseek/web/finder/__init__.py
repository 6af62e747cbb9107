"""The one Django app: its pages, what it remembers, and its JSON API."""
