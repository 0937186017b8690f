"""Tables and sentences for people, one module per thing that is shown."""
