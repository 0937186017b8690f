"""What commands share: options, output, help, completion, and where they are called."""
