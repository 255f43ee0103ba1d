"""What a fit starts from: seeds, masks and images."""
