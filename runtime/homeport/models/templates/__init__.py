"""Go's text/template, as far as Modelfiles use it: read into a tree, and written as Jinja."""
