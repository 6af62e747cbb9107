"""How fast engines are on this machine, measured side by side."""
