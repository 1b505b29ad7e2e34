"""Room: testing. Synthetic lung sections with truth, conformance suites for readers.

``fociquant.testing.lung`` simulates; ``fociquant.testing.readers`` holds a reader to its
contract. Package code never imports this room, except the command line.
"""
