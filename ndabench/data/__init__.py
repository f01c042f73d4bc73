"""Data sets of images, videos and scenes for detection.

`registry.py` names them all and never imports torch; `load_data` there opens one. Import from the modules.
"""
