"""What demo, integration tests and benchmark share: the real programs in a sandbox, driven from outside. See docs/TESTING.md."""
