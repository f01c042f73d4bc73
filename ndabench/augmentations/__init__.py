"""Negative data augmentation: `fn(images or clips, *, generator, **parameters) -> the same shape and dtype`.

`registry.py` names every negative and `specification.py` reads how a sweep file asks for one; neither imports
torch. `images.py` and `clips.py` hold the rules. Import from the modules.
"""
