"""The address for all servers, as far as it is words: names, lists, cursors, what several servers say in one answer. PURE."""
