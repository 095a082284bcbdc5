"""What a formula becomes, one column at a time."""
