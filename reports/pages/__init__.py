"""What people look at: sections with a drawing, a table and words, and the pages they are on."""
