"""Random graphs: how they are made, what is asked of them, and how they run."""
