"""What a leak is worth to whoever makes the model give it away: what of it can be trained on."""
