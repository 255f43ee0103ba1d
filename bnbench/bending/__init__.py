"""A landscape bent to one picture: fitted, drawn as a strip, an animation and a page."""
