"""The pages: each view reads a form, asks the service, and renders."""
