"""The farm as a whole: from an empty machine, at its start, and while parts of it are killed."""
