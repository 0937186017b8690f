"""Options that several commands have, and how their texts become values."""
