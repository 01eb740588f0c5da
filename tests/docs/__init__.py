"""What the pages say is so: links, tables, examples, commands."""
