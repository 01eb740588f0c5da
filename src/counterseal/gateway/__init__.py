"""Where the rooms meet: the pipeline that every call walks, and the wiring that builds it once from the configuration."""
