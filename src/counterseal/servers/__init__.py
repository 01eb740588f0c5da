"""The MCP servers: a Permit goes out, a Reply comes back, streamed.

Owns connections to servers and what may cross them in either direction. Only a Permit is sent: there is no other way to make
a request to a server. May import wire, core and errors.
"""
