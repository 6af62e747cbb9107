"""What answers while pages are served: one model, one gallery, bounded queues; free of Django."""
