"""End to end: a gateway started by its command, with clients, servers and verifiers that this project did not write."""
