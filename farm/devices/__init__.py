"""What there is to run on: device profiles and environments, each a TOML file."""
