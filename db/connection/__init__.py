"""How a store is reached: its address, its database, and whether its schema is known here."""
