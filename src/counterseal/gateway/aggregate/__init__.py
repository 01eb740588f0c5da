"""The address for all servers: one call that names something goes to its server, every other is asked of all of them.

A handler in front of the pipeline, like batches. It decides nothing and signs nothing: each request that leaves is a call of the
caller's that the pipeline has decided, countersigned and recorded.
"""
