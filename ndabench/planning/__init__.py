"""What is decided about a sweep: which trial runs next, which is restarted, stopped early or left as it is.

Nothing here knows Ray or PyTorch, and every clock can be replaced, so all of it is tested in milliseconds.
"""
