"""The wire, as msgspec structs: null means "not given", unknown fields are ignored.

``Any`` stands where a wrong type is refused with the dialect's own words.
"""
