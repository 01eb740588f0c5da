"""The hooks that come with Counterseal, one file each. gateway/registry.py has their names, docs/hooks.md their settings."""
