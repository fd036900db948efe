"""The sections of an evaluation: each looks at one event at a time, and sums up at the end."""
