"""From an OpenAPI document to tools, and from a tool's arguments to one HTTP request and back. PURE.

Owns which operations of a document become tools, how they are described, and how an address, a header and a body are written
so that no argument can change which operation is asked for. A document is a value here: reading the file is the gateway's
part. Nothing is ever fetched.
"""
