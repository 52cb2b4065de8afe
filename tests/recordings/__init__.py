"""Frozen conversations between agents, tools and daemon, one folder per version of the messages. See docs/TESTING.md."""
