"""What it takes to ask a service over HTTP, whoever asks: patience, pace, a budget, addresses, bounded answers."""
