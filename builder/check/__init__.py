"""Whether an image is what platforms expect: rules over what it holds and how it starts."""
