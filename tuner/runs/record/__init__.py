"""What the store keeps of a run: its journal, its machines, what is known of models and trials."""
