"""What happens around each request: limits, headers, who may come in, and what is logged."""
