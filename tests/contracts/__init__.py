"""One suite for each protocol, run by every implementation: derive from it and give it the fixture it asks for."""
