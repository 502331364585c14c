"""What the vision path could take at best: one request on paper, and hosts x GPUs, from measured ceilings. Needs no torch."""
