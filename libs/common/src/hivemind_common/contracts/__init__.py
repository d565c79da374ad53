"""What services ask one another: one module per owner."""
