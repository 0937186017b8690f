"""States: a candidate with the artifact and the software that it ran with, and measuring them."""
