"""What is asked: knobs, sections, profiles, and how their text is read."""
